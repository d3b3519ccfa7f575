/* Lets a process's disk fail, or be slow, for the files below PROKERJA_FAULT_ROOT.

   Preloaded, it reads a plan from the file PROKERJA_FAULT_PLAN, which whoever made it may change
   at any moment: how many of a million writes and syncs fail, with which error, and how long each
   takes at most. A failing write may have written a part of its bytes, as on a full disk. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

struct plan {
    uint32_t error, writes, syncs, slowest_us;
    uint64_t seed;
    uint64_t failed;
};

static struct plan none;
static volatile struct plan *plan = &none;
static char root[PATH_MAX];
static size_t root_size;
static uint64_t state;

__attribute__((constructor)) static void begin(void)
{
    const char *where = getenv("PROKERJA_FAULT_ROOT"), *from = getenv("PROKERJA_FAULT_PLAN");
    if (!where || !from || !realpath(where, root)) return;
    root_size = strlen(root);
    int file = syscall(SYS_openat, AT_FDCWD, from, O_RDWR | O_CLOEXEC);
    void *page = mmap(NULL, sizeof none, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (page != MAP_FAILED) plan = page;
    state = plan->seed + getpid();
}

static uint32_t chance(uint32_t below)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (state >> 33) % below;
}

static int is_ours(int file)
{
    char link[40], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t size = readlink(link, path, sizeof path);
    return root_size && size > (ssize_t)root_size && !memcmp(path, root, root_size);
}

/* Whether this call fails; takes its time in either case. */
static int fails(int file, uint32_t per_million)
{
    if (plan == &none || !is_ours(file)) return 0;
    if (plan->slowest_us) usleep(chance(plan->slowest_us));
    if (chance(1000000) >= per_million) return 0;
    __atomic_add_fetch(&plan->failed, 1, __ATOMIC_RELAXED);
    errno = plan->error;
    return 1;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

#define PWRITE(name, offset_type)                                                        \
    ssize_t name(int file, const void *bytes, size_t size, offset_type offset)           \
    {                                                                                    \
        if (!fails(file, plan->writes)) return REAL(name)(file, bytes, size, offset);    \
        int error = errno;                                                               \
        if (size > 1) REAL(name)(file, bytes, chance(size), offset);                     \
        errno = error;                                                                   \
        return -1;                                                                       \
    }

#define ON_FILE(name, per_million)                                                       \
    int name(int file)                                                                   \
    {                                                                                    \
        return fails(file, per_million) ? -1 : REAL(name)(file);                         \
    }

#define TRUNCATE(name, offset_type)                                                      \
    int name(int file, offset_type size)                                                 \
    {                                                                                    \
        return fails(file, plan->writes) ? -1 : REAL(name)(file, size);                  \
    }

PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)
TRUNCATE(ftruncate, off_t)
TRUNCATE(ftruncate64, off64_t)
ON_FILE(fsync, plan->syncs)
ON_FILE(fdatasync, plan->syncs)
