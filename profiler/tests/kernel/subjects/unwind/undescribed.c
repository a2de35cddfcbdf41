/* Functions that nothing describes, in a program of which no frame pointer is kept; their every call is known. What it calls of
   the C library is whatever that has: musl's has no descriptions either. */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define OWN __attribute__((noinline)) static

static volatile long sink;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

OWN void spin(long rounds) {
	for (long i = 0; i < rounds; i++) sink += i;
}

OWN int compare(const void *one, const void *other) {
	spin(1000);
	return *(const int *)one - *(const int *)other;
}

OWN void sorts(void) {
	int all[200];
	for (int i = 0; i < 200; i++) all[i] = i * 7919 % 200;
	qsort(all, 200, sizeof *all, compare);
	sink += all[3];
}

OWN void sleeps(void) {
	usleep(2000);
	sink++;
}

OWN void polls(void) {
	poll(0, 0, 2);
	sink++;
}

OWN void prints(void) {
	char text[200];
	for (int i = 0; i < 2000; i++) sink += snprintf(text, sizeof text, "%f %d %s", i * 1.5, i, "x");
}

OWN void allocates(void) {
	for (int i = 0; i < 2000; i++) {
		void *block = malloc(i + 1);
		sink += (long)block;
		free(block);
	}
}

OWN void locks(void) {
	pthread_mutex_lock(&lock);
	sink++;
	pthread_mutex_unlock(&lock);
}

/* Its frame is as large as the data says. */
OWN void varies(long bytes) {
	volatile char room[bytes];
	room[bytes / 2] = 1;
	spin(20000);
	sink += room[bytes / 2];
}

/* Jumps by a table. */
OWN void chooses(int which) {
	switch (which) {
	case 0: spin(3000); break;
	case 1: sink += 3; spin(2000); break;
	case 2: sink *= 3; spin(4000); break;
	case 3: sink ^= 3; spin(1000); break;
	case 4: sink -= 7; spin(5000); break;
	case 5: sink |= 1; spin(2500); break;
	default: spin(100);
	}
	sink++;
}

OWN void work(int depth) {
	if (depth) {
		work(depth - 1);
		sink++;
		return;
	}
	sorts();
	sleeps();
	polls();
	prints();
	allocates();
	locks();
	varies(64 + (unsigned long)sink % 512 * 8);
	for (int i = 0; i < 12; i++) chooses(i % 7);
	sink++;
}

OWN void holds(void) {
	pthread_mutex_lock(&lock);
	usleep(3000);
	pthread_mutex_unlock(&lock);
	usleep(2000);
}

static void *begin(void *nothing) {
	for (;;) holds();
	return nothing;
}

static long now_ms(void) {
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int main(int count, char **args) {
	(void)count;
	/* Its table is made meanwhile. It waits in a way of its own, for this wait begins without one. */
	sigset_t none;
	sigemptyset(&none);
	struct timespec settle = {atoi(args[1]) / 1000, 0};
	sigtimedwait(&none, 0, &settle);
	pthread_t thread;
	pthread_create(&thread, 0, begin, 0);
	for (long end = now_ms() + 4000; now_ms() < end;) work(10);
	return 0;
}
