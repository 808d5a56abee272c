// What extension modules share: buffers of Python objects, and names of kernels.
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <cstdint>
#include <cstring>

#if !defined(__GNUC__) || (defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__)
#error "needs GCC's vector extensions and a little-endian processor; keywarp runs without this, more slowly"
#endif

namespace native {

// A C-contiguous buffer, held until the end of its scope.
struct Buffer {
    Py_buffer view{};
    bool held = false;
    // Whether it is there and holds so many bytes; else an error is set.
    bool get(PyObject *object, bool writable, const char *name, size_t bytes) {
        const int flags = writable ? PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE : PyBUF_C_CONTIGUOUS;
        held = PyObject_GetBuffer(object, &view, flags) == 0;
        if (!held) return false;
        if (size_t(view.len) == bytes) return true;
        PyErr_Format(PyExc_ValueError, "'%s' holds %zd bytes; %zu are wanted", name, view.len, bytes);
        return false;
    }
    template <class T> T *as() const { return held ? static_cast<T *>(view.buf) : nullptr; }
    ~Buffer() {
        if (held) PyBuffer_Release(&view);
    }
};

// A kernel for one instruction set.
template <class Task> struct Kernel {
    const char *name;
    void (*run)(const Task &);
};

constexpr int MOST_KERNELS = 3;
constexpr int MOST_LANES = 16;  // floats in the longest vector

// The names of kernels as a tuple.
template <class Task> PyObject *names_of(const Kernel<Task> *kernels, int count) {
    PyObject *list = PyTuple_New(count);
    for (int i = 0; list != nullptr && i < count; ++i) {
        PyObject *name = PyUnicode_FromString(kernels[i].name);
        if (name == nullptr) Py_CLEAR(list);
        else PyTuple_SET_ITEM(list, i, name);
    }
    return list;
}

// The kernel of this name; null, with an error set, where there is none.
template <class Task> const Kernel<Task> *named(const Kernel<Task> *kernels, int count, const char *name) {
    for (int i = 0; i < count; ++i)
        if (std::strcmp(kernels[i].name, name) == 0) return kernels + i;
    PyErr_Format(PyExc_ValueError, "no kernel '%s' here", name);
    return nullptr;
}

}  // namespace native
