// Preloaded into a program, moves its wall clock as an administrator or NTP would: by the seconds
// that stand, as a 64-bit integer, in the file that COUNTERSIGN_CLOCK_SHIFT names. The file is
// mapped, so whoever writes to it moves the clock of a program that runs. The clocks that nobody
// can set stay as they are.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <ctime>

namespace {

const volatile int64_t* MapShift() {
  const char* path = std::getenv("COUNTERSIGN_CLOCK_SHIFT");  // NOLINT(concurrency-mt-unsafe): once
  int fd = path != nullptr ? ::open(path, O_RDONLY | O_CLOEXEC) : -1;
  void* mapped =
      fd >= 0 ? ::mmap(nullptr, sizeof(int64_t), PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
  if (mapped == MAP_FAILED) {
    std::abort();  // A test that moves no clock would prove nothing.
  }
  return static_cast<const volatile int64_t*>(mapped);
}

int64_t Shift() {
  static const volatile int64_t* const kShift = MapShift();
  return *kShift;
}

}  // namespace

extern "C" int clock_gettime(clockid_t clock, timespec* out) {
  auto result = static_cast<int>(::syscall(SYS_clock_gettime, clock, out));
  if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
    out->tv_sec += Shift();
  }
  return result;
}

extern "C" int gettimeofday(timeval* out, void* /*zone*/) {
  timespec now = {};
  int result = clock_gettime(CLOCK_REALTIME, &now);
  *out = {now.tv_sec, now.tv_nsec / 1000};
  return result;
}

extern "C" time_t time(time_t* out) {
  timespec now = {};
  clock_gettime(CLOCK_REALTIME, &now);
  if (out != nullptr) {
    *out = now.tv_sec;
  }
  return now.tv_sec;
}
