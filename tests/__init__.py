"""What holds in this house. README.md beside this file says where which test lives and how to run it."""
