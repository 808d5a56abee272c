// Compiles the file KERNELS for each instruction set that a processor may have. Include it inside a namespace in which
// Task is defined; KERNELS defines `void run(const Task &)`, in vectors of LANES floats, each function marked TARGET.

#if defined(__clang__)
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

#if defined(__x86_64__)
namespace avx512 {
#define LANES 16
#define TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")))
#include "vectors.inc"
#include KERNELS
#undef LANES
#undef TARGET
}  // namespace avx512
namespace avx2 {
#define LANES 8
#define TARGET __attribute__((target("avx2,fma")))
#include "vectors.inc"
#include KERNELS
#undef LANES
#undef TARGET
}  // namespace avx2
#endif

namespace plain {
#define LANES 4
#define TARGET
#include "vectors.inc"
#include KERNELS
#undef LANES
#undef TARGET
}  // namespace plain

// The kernels that this processor can run, the quickest first.
int kernels_here(native::Kernel<Task> (&found)[native::MOST_KERNELS]) {
    int count = 0;
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        found[count++] = {"avx512", avx512::run};
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) found[count++] = {"avx2", avx2::run};
#endif
    found[count++] = {"plain", plain::run};
    return count;
}
