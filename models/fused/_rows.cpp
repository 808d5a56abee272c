// Labels of features that are carried along a flow, in one pass over the picture, on the CPU.
//
// What the part `warp_head` of a network with a transposed convolution at its end does: warp the features, put out
// the scores of all classes for 2 x 2 pixels a cell, take the best. Engines write warped features and scores to
// memory between these; here a row of cells stays in the cache, and scores stay in registers. Cells lie side by side
// in a vector, so that no lane is empty whatever the number of classes.

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <cmath>
#include <cstdint>
#include <cstring>

#if !defined(__GNUC__) || (defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__)
#error "needs GCC's vector extensions and a little-endian processor; keywarp runs without this, more slowly"
#endif

#if defined(__clang__)
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

namespace {

constexpr int ALL_TAPS = 9;
constexpr int MOST_LANES = 16;
constexpr int LONGEST = 1 << 24;  // beyond, a place in the picture is no float of its own

struct Task {
    const float *features;  // with flow (height, width, channels), without (channels, height, width)
    const float *flow;      // (height, width, 2) or null
    const float *weights;   // (groups, channels, 9, group)
    const float *bias;      // (groups, group)
    float *scratch;         // (2, channels, stride), zero where no cell is
    uint8_t *labels;        // (2 height, 2 width)
    int height, width, channels, groups, group, stride;
    int first, last;  // rows of cells, the last left out
};

#if defined(__x86_64__)
namespace avx512 {
#define LANES 16
#define TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")))
#include "_rows.inc"
#undef LANES
#undef TARGET
}  // namespace avx512
namespace avx2 {
#define LANES 8
#define TARGET __attribute__((target("avx2,fma")))
#include "_rows.inc"
#undef LANES
#undef TARGET
}  // namespace avx2
#endif

namespace plain {
#define LANES 4
#define TARGET
#include "_rows.inc"
#undef LANES
#undef TARGET
}  // namespace plain

struct Kernel {
    const char *name;
    void (*run)(const Task &);
};

// The kernels that this processor can run, the quickest first.
int kernels(Kernel *found) {
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

struct Buffer {
    Py_buffer view{};
    bool held = false;
    bool get(PyObject *object, bool writable) {
        held = PyObject_GetBuffer(object, &view, writable ? PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE : PyBUF_C_CONTIGUOUS) == 0;
        return held;
    }
    ~Buffer() {
        if (held) PyBuffer_Release(&view);
    }
};

bool holds(const Buffer &buffer, const char *name, size_t bytes) {
    if (size_t(buffer.view.len) == bytes) return true;
    PyErr_Format(PyExc_ValueError, "'%s' holds %zd bytes; %zu are wanted", name, buffer.view.len, bytes);
    return false;
}

PyObject *names(PyObject *, PyObject *) {
    Kernel found[3];
    const int count = kernels(found);
    PyObject *list = PyTuple_New(count);
    for (int i = 0; list != nullptr && i < count; ++i) {
        PyObject *name = PyUnicode_FromString(found[i].name);
        if (name == nullptr) Py_CLEAR(list);
        else PyTuple_SET_ITEM(list, i, name);
    }
    return list;
}

PyObject *pack(PyObject *, PyObject *arguments) {
    PyObject *given, *wanted;
    int channels, cells;
    if (!PyArg_ParseTuple(arguments, "OOii", &given, &wanted, &channels, &cells)) return nullptr;
    Buffer from, to;
    if (!from.get(given, false) || !to.get(wanted, true)) return nullptr;
    if (channels < 1 || cells < 1) return PyErr_Format(PyExc_ValueError, "channels and cells are at least 1");
    const size_t bytes = sizeof(float) * size_t(channels) * size_t(cells);
    if (!holds(from, "features", bytes) || !holds(to, "packed", bytes)) return nullptr;
    const float *source = static_cast<const float *>(from.view.buf);
    float *target = static_cast<float *>(to.view.buf);
    Py_BEGIN_ALLOW_THREADS
    for (int at = 0; at < cells; at += MOST_LANES) {  // lines of the source and of the target stay in the cache
        const int end = cells - at < MOST_LANES ? cells : at + MOST_LANES;
        for (int k = 0; k < channels; ++k)
            for (int i = at; i < end; ++i) target[size_t(i) * channels + k] = source[size_t(k) * cells + i];
    }
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

PyObject *labels(PyObject *, PyObject *arguments) {
    PyObject *given[6];
    const char *kernel;
    Task task{};
    if (!PyArg_ParseTuple(arguments, "sOOOOOOiiiiiii", &kernel, &given[0], &given[1], &given[2], &given[3], &given[4],
                          &given[5], &task.height, &task.width, &task.channels, &task.groups, &task.group,
                          &task.first, &task.last))
        return nullptr;
    if (task.height < 1 || task.width < 1 || task.channels < 1 || task.channels % MOST_LANES != 0 ||
        task.groups < 1 || (task.group != 4 && task.group != 8 && task.group != 12) ||
        task.groups > 256 / task.group || task.height > LONGEST || task.width > LONGEST || task.first < 0 || task.last > task.height || task.first >= task.last)
        return PyErr_Format(PyExc_ValueError, "sizes that the kernels cannot take");
    Kernel found[3];
    const Kernel *chosen = nullptr;
    for (int i = kernels(found) - 1; i >= 0; --i)
        if (std::strcmp(found[i].name, kernel) == 0) chosen = &found[i];
    if (chosen == nullptr) return PyErr_Format(PyExc_ValueError, "no kernel '%s' here", kernel);
    // a vector may begin at any cell, and the last tap is one further
    task.stride = (task.width + MOST_LANES - 1) / MOST_LANES * MOST_LANES + MOST_LANES;
    const size_t cells = size_t(task.height) * task.width, weights = size_t(task.groups) * task.group;
    const size_t bytes[6] = {sizeof(float) * cells * task.channels,
                             sizeof(float) * cells * 2,
                             sizeof(float) * weights * task.channels * ALL_TAPS,
                             sizeof(float) * weights,
                             sizeof(float) * 2 * task.channels * task.stride,
                             4 * cells};
    const char *what[6] = {"features", "flow", "weights", "bias", "scratch", "labels"};
    Buffer held[6];
    for (int i = 0; i < 6; ++i) {
        if (i == 1 && given[i] == Py_None) continue;
        if (!held[i].get(given[i], i >= 4) || !holds(held[i], what[i], bytes[i])) return nullptr;
    }
    task.features = static_cast<const float *>(held[0].view.buf);
    task.flow = held[1].held ? static_cast<const float *>(held[1].view.buf) : nullptr;
    task.weights = static_cast<const float *>(held[2].view.buf);
    task.bias = static_cast<const float *>(held[3].view.buf);
    task.scratch = static_cast<float *>(held[4].view.buf);
    task.labels = static_cast<uint8_t *>(held[5].view.buf);
    Py_BEGIN_ALLOW_THREADS
    chosen->run(task);
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

PyMethodDef methods[] = {
    {"kernels", names, METH_NOARGS, nullptr},
    {"pack", pack, METH_VARARGS, nullptr},
    {"labels", labels, METH_VARARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

PyModuleDef module = {PyModuleDef_HEAD_INIT, "_rows", nullptr, 0, methods, nullptr, nullptr, nullptr, nullptr};

}  // namespace

PyMODINIT_FUNC PyInit__rows() { return PyModule_Create(&module); }
