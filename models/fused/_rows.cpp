// Labels of features that are carried along a flow, in one pass over the picture, on the CPU.
//
// What the part `warp_head` of a network with a transposed convolution at its end does: warp the features, put out
// the scores of all classes for 2 x 2 pixels a cell, take the best. Engines write warped features and scores to
// memory between these; here a row of cells stays in the cache, and scores stay in registers. Cells lie side by side
// in a vector, so that no lane is empty whatever the number of classes.

#include "module.hpp"

#include <cmath>

namespace {

constexpr int ALL_TAPS = 9;
constexpr int MOST_LANES = native::MOST_LANES;
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

#define KERNELS "_rows.inc"
#include "each_set.hpp"

PyObject *names(PyObject *, PyObject *) {
    native::Kernel<Task> found[native::MOST_KERNELS];
    return native::names_of(found, kernels_here(found));
}

PyObject *pack(PyObject *, PyObject *arguments) {
    PyObject *given, *wanted;
    int channels, cells;
    if (!PyArg_ParseTuple(arguments, "OOii", &given, &wanted, &channels, &cells)) return nullptr;
    if (channels < 1 || cells < 1) return PyErr_Format(PyExc_ValueError, "channels and cells are at least 1");
    const size_t bytes = sizeof(float) * size_t(channels) * size_t(cells);
    native::Buffer from, to;
    if (!from.get(given, false, "features", bytes) || !to.get(wanted, true, "packed", bytes)) return nullptr;
    const float *source = from.as<const float>();
    float *target = to.as<float>();
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
        task.groups > 256 / task.group || task.height > LONGEST || task.width > LONGEST || task.first < 0 ||
        task.last > task.height || task.first >= task.last)
        return PyErr_Format(PyExc_ValueError, "sizes that the kernels cannot take");
    native::Kernel<Task> found[native::MOST_KERNELS];
    const auto *chosen = native::named(found, kernels_here(found), kernel);
    if (chosen == nullptr) return nullptr;
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
    native::Buffer held[6];
    for (int i = 0; i < 6; ++i) {
        if (i == 1 && given[i] == Py_None) continue;
        if (!held[i].get(given[i], i >= 4, what[i], bytes[i])) return nullptr;
    }
    task.features = held[0].as<const float>();
    task.flow = held[1].as<const float>();
    task.weights = held[2].as<const float>();
    task.bias = held[3].as<const float>();
    task.scratch = held[4].as<float>();
    task.labels = held[5].as<uint8_t>();
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
