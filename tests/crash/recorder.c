/* Writes down, in order, all that a process does to the files below PROKERJA_RECORD_ROOT.

   Preloaded, it passes every call on to libc and appends one record for each that succeeded to
   the file PROKERJA_RECORD: a struct head, the path below the root, the bytes. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

struct head {
    uint32_t kind, path_size;
    uint64_t offset, size;
} __attribute__((packed));

static char root[PATH_MAX];
static size_t root_size;
static int record = -1;

__attribute__((constructor)) static void begin(void)
{
    const char *where = getenv("PROKERJA_RECORD_ROOT"), *into = getenv("PROKERJA_RECORD");
    if (!where || !into || !realpath(where, root)) return;
    root_size = strlen(root);
    record = syscall(SYS_openat, AT_FDCWD, into, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

/* The part of a path below the root ("" for the root itself), or NULL. */
static const char *below(const char *path)
{
    if (record < 0 || strncmp(path, root, root_size)) return NULL;
    if (!path[root_size]) return "";
    return path[root_size] == '/' ? path + root_size + 1 : NULL;
}

static const char *path_of(int file, char *path)
{
    char link[40];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t size = readlink(link, path, PATH_MAX - 1);
    path[size < 0 ? 0 : size] = 0;
    return below(path);
}

static void note(char kind, const char *path, uint64_t offset, const void *bytes, uint64_t size)
{
    struct head head = {kind, strlen(path), offset, size};
    struct iovec parts[] = {
        {&head, sizeof head}, {(void *)path, head.path_size}, {(void *)bytes, bytes ? size : 0}};
    if (syscall(SYS_writev, record, parts, 3) < 0) abort();
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static void note_file(char kind, int file, uint64_t offset, const void *bytes, uint64_t size)
{
    char path[PATH_MAX];
    const char *name = path_of(file, path);
    if (name) note(kind, name, offset, bytes, size);
}

ssize_t pwrite(int file, const void *bytes, size_t size, off_t offset)
{
    ssize_t done = REAL(pwrite)(file, bytes, size, offset);
    if (done > 0) note_file('w', file, offset, bytes, done);
    return done;
}

ssize_t pwrite64(int file, const void *bytes, size_t size, off64_t offset)
{
    ssize_t done = REAL(pwrite64)(file, bytes, size, offset);
    if (done > 0) note_file('w', file, offset, bytes, done);
    return done;
}

ssize_t write(int file, const void *bytes, size_t size)
{
    ssize_t done = REAL(write)(file, bytes, size);
    if (done > 0 && file > 2) {
        off_t end = lseek(file, 0, SEEK_CUR);
        if (end >= done) note_file('w', file, end - done, bytes, done);
    }
    return done;
}

int ftruncate(int file, off_t size)
{
    int failed = REAL(ftruncate)(file, size);
    if (!failed) note_file('t', file, size, NULL, 0);
    return failed;
}

int ftruncate64(int file, off64_t size)
{
    int failed = REAL(ftruncate64)(file, size);
    if (!failed) note_file('t', file, size, NULL, 0);
    return failed;
}

int fsync(int file)
{
    int failed = REAL(fsync)(file);
    if (!failed) note_file('s', file, 0, NULL, 0);
    return failed;
}

int fdatasync(int file)
{
    int failed = REAL(fdatasync)(file);
    if (!failed) note_file('s', file, 0, NULL, 0);
    return failed;
}

int unlink(const char *path)
{
    int failed = REAL(unlink)(path);
    const char *name = failed ? NULL : below(path);
    if (name) note('d', name, 0, NULL, 0);
    return failed;
}

int mkdir(const char *path, mode_t mode)
{
    int failed = REAL(mkdir)(path, mode);
    const char *name = failed ? NULL : below(path);
    if (name) note('m', name, 0, NULL, 0);
    return failed;
}

int rename(const char *from, const char *to)
{
    int failed = REAL(rename)(from, to);
    const char *old = failed ? NULL : below(from), *new = failed ? NULL : below(to);
    if (old && new) note('r', old, 0, new, strlen(new));
    return failed;
}

static int opened(int file, const char *path, int is_new)
{
    const char *name = file >= 0 && is_new ? below(path) : NULL;
    if (name) note('c', name, 0, NULL, 0);
    return file;
}

#define OPEN(name)                                                                       \
    int name(const char *path, int flags, ...)                                           \
    {                                                                                    \
        va_list rest;                                                                    \
        va_start(rest, flags);                                                           \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;          \
        va_end(rest);                                                                    \
        int is_new = flags & O_CREAT && access(path, F_OK);                              \
        return opened(REAL(name)(path, flags, mode), path, is_new);                      \
    }

OPEN(open)
OPEN(open64)
