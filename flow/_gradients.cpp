// Lucas-Kanade steps for every cell of 2 x 2 pixels of a picture, on the CPU.
//
// What OpenCV does in a dozen calls, each from memory to memory: warp the previous picture along the field so far, take
// what light changed evenly from what differs, sum the products of gradients and difference over the window of each
// cell, solve two equations. Here the four pixels of a cell share one place to sample at, rows of sums stay in the
// cache, and cells lie side by side in a vector.

#include "module.hpp"

#include <initializer_list>

namespace {

constexpr int CELL = 2;    // pixels, a side of a cell
constexpr int EDGE = 2;    // pixels around pictures, so that a cell may lie across their border
constexpr int REACH = 2;   // cells that a window reaches to each side
constexpr int SUMS = 5;    // gradient times difference in x and y, gradients squared in x and y, and multiplied
constexpr int INVERSE = 3; // of a symmetric 2 x 2 matrix: the entries
constexpr int BLOCK = 16;  // pixels: what differs evenly over as much as this is light
constexpr int LONGEST_SIDE = 1 << 14;
constexpr float WINDOW[2 * REACH + 1] = {0.0625f, 0.25f, 0.375f, 0.25f, 0.0625f};
constexpr float SOBEL = 1.0f / 8;

struct Task {
    float *field;             // (height / 2, width / 2, 2) in pixels; the better field afterwards
    const uint8_t *previous;  // (height, width)
    const uint8_t *current;   // (height, width)
    const uint8_t *light;     // (256): the previous picture's grey levels in the current one's light; or null
    uint8_t *valid;           // (height / 2, width / 2): whether cells point into the picture; or null
    uint8_t *scratch;
    int width, height;
    int steps;  // at least 1
    float damping, longest;  // see gradients.py
    float scale;             // the better field is multiplied by it
};

// Where everything lies in the memory between input and output.
struct Scratch {
    int picture_stride, stride, sums_stride, blocks_across, blocks_down;
    uint8_t *previous, *current;   // with an edge around them
    float *difference[4];          // (rows of cells, stride) for each pixel of a cell
    float *across, *down;          // a row of the field, or of its gradients
    float *places;                 // the x of the first pixel of each cell
    float *row_sums, *means;       // differences of cells, summed over the rows of a block; of blocks
    float *light;                  // (blocks_down, 2, stride): the means for even and for odd pixels of a row
    float *sums;                   // (SUMS, sums_stride), REACH empty cells at each end
    float *inverse;                // (rows of cells, INVERSE, stride)
    float *ring;                   // (2 REACH + 1, SUMS, stride): the last rows of sums
    int16_t *smooth, *change;      // a row of pixels, weighted with the rows above and below; its difference downwards
    int16_t *gradient[2 * CELL];   // across, then down, for each row of a cell
    size_t bytes = 0;

    explicit Scratch(const Task &task) : Scratch(task.scratch, task.width, task.height) {
        for (int x = 0; x < stride; ++x) places[x] = float(CELL * x);
        std::memset(sums, 0, sizeof(float) * SUMS * sums_stride);
        for (int16_t *row : {smooth, change}) std::memset(row, 0, sizeof(int16_t) * row_pixels(stride));
    }

    Scratch(uint8_t *memory, int width, int height) {
        stride = (width / CELL + native::MOST_LANES - 1) / native::MOST_LANES * native::MOST_LANES;
        picture_stride = CELL * stride + 2 * EDGE + 4;
        sums_stride = stride + 2 * REACH;
        blocks_across = width > BLOCK ? width / BLOCK : 1;
        blocks_down = height > BLOCK ? height / BLOCK : 1;
        for (float *&array : difference) take(memory, array, size_t(height / CELL) * stride);
        for (float **array : {&across, &down, &places, &row_sums}) take(memory, *array, stride);
        take(memory, means, size_t(blocks_across) * blocks_down);
        take(memory, light, size_t(CELL) * blocks_down * stride);
        take(memory, sums, size_t(SUMS) * sums_stride);
        take(memory, inverse, size_t(height / CELL) * INVERSE * stride);
        take(memory, ring, size_t(2 * REACH + 1) * SUMS * stride);
        for (int16_t **array : {&smooth, &change}) take(memory, *array, row_pixels(stride));
        for (int16_t *&array : gradient) take(memory, array, size_t(CELL) * stride);
        // a cell may lie EDGE pixels beyond the border, and is read with one pixel more each way, four bytes at once
        const size_t picture = size_t(height + 2 * EDGE + CELL + 1) * picture_stride;
        for (uint8_t **array : {&previous, &current}) take(memory, *array, picture);
    }

  private:
    // with a pixel at either end, in whole vectors
    static size_t row_pixels(int stride) { return size_t(CELL) * stride + native::MOST_LANES; }

    template <class T> void take(uint8_t *&memory, T *&array, size_t count) {
        const size_t size = (count * sizeof(T) + 63) / 64 * 64;
        bytes += size;
        array = reinterpret_cast<T *>(memory);
        if (memory != nullptr) memory += size;
    }
};

#define KERNELS "_gradients.inc"
#include "each_set.hpp"

bool fits(int width, int height) {
    if (width >= CELL && height >= CELL && width % CELL == 0 && height % CELL == 0 && width <= LONGEST_SIDE &&
        height <= LONGEST_SIDE)
        return true;
    PyErr_Format(PyExc_ValueError, "a picture of %d x %d; sides are even, 2 to %d", width, height, LONGEST_SIDE);
    return false;
}

PyObject *names(PyObject *, PyObject *) {
    native::Kernel<Task> found[native::MOST_KERNELS];
    return native::names_of(found, kernels_here(found));
}

PyObject *scratch_bytes(PyObject *, PyObject *arguments) {
    int width, height;
    if (!PyArg_ParseTuple(arguments, "ii", &width, &height) || !fits(width, height)) return nullptr;
    return PyLong_FromSize_t(Scratch(nullptr, width, height).bytes);
}

PyObject *refine(PyObject *, PyObject *arguments) {
    const char *kernel;
    PyObject *given[6];
    Task task{};
    if (!PyArg_ParseTuple(arguments, "sOOOOOOiiifff", &kernel, &given[0], &given[1], &given[2], &given[3], &given[4],
                          &given[5], &task.width, &task.height, &task.steps, &task.damping, &task.longest, &task.scale) ||
        !fits(task.width, task.height))
        return nullptr;
    if (task.steps < 1) return PyErr_Format(PyExc_ValueError, "%d steps; at least 1", task.steps);
    native::Kernel<Task> found[native::MOST_KERNELS];
    const auto *chosen = native::named(found, kernels_here(found), kernel);
    if (chosen == nullptr) return nullptr;
    const size_t pixels = size_t(task.width) * task.height, cells = pixels / (CELL * CELL);
    const size_t bytes[6] = {sizeof(float) * 2 * cells, pixels, pixels, 256, cells,
                             Scratch(nullptr, task.width, task.height).bytes};
    const char *what[6] = {"field", "previous", "current", "light", "valid", "scratch"};
    native::Buffer held[6];
    for (int i = 0; i < 6; ++i) {
        if ((i == 3 || i == 4) && given[i] == Py_None) continue;
        if (!held[i].get(given[i], i == 0 || i >= 4, what[i], bytes[i])) return nullptr;
    }
    task.field = held[0].as<float>();
    task.previous = held[1].as<const uint8_t>();
    task.current = held[2].as<const uint8_t>();
    task.light = held[3].as<const uint8_t>();
    task.valid = held[4].as<uint8_t>();
    task.scratch = held[5].as<uint8_t>();
    Py_BEGIN_ALLOW_THREADS
    chosen->run(task);
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

PyMethodDef methods[] = {
    {"kernels", names, METH_NOARGS, nullptr},
    {"scratch_bytes", scratch_bytes, METH_VARARGS, nullptr},
    {"refine", refine, METH_VARARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

PyModuleDef module = {PyModuleDef_HEAD_INIT, "_gradients", nullptr, 0, methods, nullptr, nullptr, nullptr, nullptr};

}  // namespace

PyMODINIT_FUNC PyInit__gradients() { return PyModule_Create(&module); }
