/* The same echo in C: what the kernel costs by itself. Level-triggered epoll, reads of 64 KiB, output that waits is kept. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ 65536
#define MOST 65536 /* descriptors */

static char buffer[READ];
static struct { char *data; size_t size; } waiting[MOST];
static int epoll;

static void want(int fd, int verb, uint32_t bits) {
    struct epoll_event event = {.events = bits, .data.fd = fd};
    epoll_ctl(epoll, verb, fd, &event);
}

static void drop(int fd) {
    free(waiting[fd].data);
    waiting[fd].data = NULL;
    close(fd);
}

int main(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct epoll_event events[1024];
    bind(listener, (struct sockaddr *)&address, length);
    listen(listener, 1024);
    getsockname(listener, (struct sockaddr *)&address, &length);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    epoll = epoll_create1(0);
    want(listener, EPOLL_CTL_ADD, EPOLLIN);
    for (;;) {
        int n = epoll_wait(epoll, events, 1024, -1);
        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;
            if (fd == listener) {
                int accepted;
                while ((accepted = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0)
                    if (accepted < MOST) want(accepted, EPOLL_CTL_ADD, EPOLLIN);
                    else close(accepted);
            } else if (waiting[fd].data) {
                ssize_t sent = send(fd, waiting[fd].data, waiting[fd].size, MSG_NOSIGNAL);
                if (sent < 0) { drop(fd); continue; }
                waiting[fd].size -= sent;
                memmove(waiting[fd].data, waiting[fd].data + sent, waiting[fd].size);
                if (!waiting[fd].size) {
                    free(waiting[fd].data);
                    waiting[fd].data = NULL;
                    want(fd, EPOLL_CTL_MOD, EPOLLIN);
                }
            } else {
                ssize_t got = recv(fd, buffer, READ, 0);
                if (got <= 0) { drop(fd); continue; }
                ssize_t sent = send(fd, buffer, got, MSG_NOSIGNAL);
                if (sent < 0) sent = 0;
                if (sent < got) {
                    waiting[fd].size = got - sent;
                    waiting[fd].data = memcpy(malloc(got - sent), buffer + sent, got - sent);
                    want(fd, EPOLL_CTL_MOD, EPOLLOUT);
                }
            }
        }
    }
}
