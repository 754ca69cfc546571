// Matrix products, and the dense layer made of them. Operands of any strides are read in place.
#include <vector>

#include "bindings/bindings.h"
#include "bindings/object.h"
#include "bindings/operands.h"
#include "relu_layers/ops.h"
#include "relu_layers/views.h"

namespace relu_layers::bindings {
namespace {

double multiply_adds(index_t m, index_t n, index_t k) {
    return work_of_multiply_add * double(m) * double(n) * double(k);
}

// x (..., in_features), weight (in_features, out_features)
void expect_dense(const Call& call, const Array& x, const Array& weight) {
    call.expect_shape(weight.ndim == 2, weight, "(in_features, out_features)");
    call.expect_shape(x.ndim > 0, x, "(batch, in_features)");
    const index_t columns = x.shape[x.ndim - 1];
    if (columns != weight.shape[0])
        call.value_error("x has %zd columns but weight has %zd rows", columns, weight.shape[0]);
}

// The slope of the ReLU beside the product, None for no ReLU.
struct Slope {
    bool on;
    double value;

    Slope(Call& call, Argument slope) : on(!slope.is_none()), value(on ? call.number(slope) : 0) {}
    template <class T>
    Rectifier<T> at(const Run&) const {
        return {on, T(value)};
    }
};

// A weight and its panels, in memory of its own. The array must keep its numbers.
class PackedWeight {
  public:
    struct View {
        const void* weight;
        index_t rows, cols;
        const void* panels;
        index_t panel;

        template <class T>
        ops::PackedWeight<T> at(const Run&) const {
            return {matrix_of(static_cast<const T*>(weight), rows, cols), static_cast<const T*>(panels), panel};
        }
    };

    explicit PackedWeight(py::object weight) : weight_(std::move(weight)) {
        Call call("PackedWeight");
        Array array(call, {"weight", weight_.ptr()});
        if (array.ndim != 2 || !array.plain()) throw py::value_error("PackedWeight: expected a C-contiguous matrix");
        for_type(call, [&]<class T>(T) {
            const auto matrix = matrix_of(reinterpret_cast<const T*>(array.data), array.shape[0], array.shape[1]);
            const index_t size = ops::packed_size<T>(matrix.rows, matrix.cols);
            panels_ = new_array(call.type(), 1, &size);
            auto* const panels = reinterpret_cast<T*>(struct_of(panels_.ptr())->data);
            view_ = {array.data, matrix.rows, matrix.cols, panels, ops::pack_weight(matrix, panels).panel};
        });
    }
    const py::object& weight() const { return weight_; }
    const View& view() const { return view_; }

  private:
    py::object weight_;
    py::object panels_;
    View view_{};
};

bool is_packed(PyObject* value) { return Py_TYPE(value) == Object<PackedWeight>::type; }

py::object dense_forward(Call& call, Argument x_, Argument weight_, Argument bias_, Argument negative_slope,
                         Argument out) {
    const Slope slope(call, negative_slope);
    const PackedWeight* const packed = is_packed(weight_.value) ? &object_of<PackedWeight>(weight_.value) : nullptr;
    if (packed != nullptr && call.recorder() != nullptr) call.recorder()->keep(weight_.value);
    Array x(call, x_);
    Array weight(call, {weight_.name, packed == nullptr ? weight_.value : packed->weight().ptr()});
    expect_dense(call, x, weight);
    Array bias;
    call.read_optional_floats(bias, bias_);
    if (bias.present()) call.expect_shape(bias, Shape().add(weight.shape[1]));
    const Array y(call, out, Shape(x, x.ndim - 1).add(weight.shape[1]));
    call.check_overlap(y, {&x, &weight, &bias});
    const double work = multiply_adds(count(x, 0, x.ndim - 1), weight.shape[0], weight.shape[1]);
    const auto multiply = [&](const auto& weights) {
        compute(call, work, RELU_LAYERS_OP(dense_forward), AsMatrix{x}, weights, AsNumbers{bias}, slope, Written{y});
    };
    if (packed != nullptr) multiply(packed->view());
    else multiply(AsMatrix{weight});
    return result(y);
}

py::object dense_backward(Call& call, Argument x_, Argument weight_, Argument dy_, Argument need_dx_,
                          Argument accumulate_, Argument negative_slope, Argument out_) {
    const auto out = call.entries<3>(out_);
    const bool accumulate = call.flag(accumulate_);
    if (accumulate && (out[1].is_none() || out[2].is_none()))
        call.value_error("accumulate is True, expected arrays to add to as out[1] and out[2]");
    const Slope slope(call, negative_slope);
    call.expect(!slope.on || slope.value >= 0, negative_slope,
                ">= 0: the sign of x would not tell the sign of what the ReLU got");
    const bool need_dx = call.flag(need_dx_);
    Array x(call, x_);
    Array weight(call, weight_);
    expect_dense(call, x, weight);
    Array dy(call, dy_);
    call.expect_shape(dy, Shape(x, x.ndim - 1).add(weight.shape[1]));
    Array dx;
    call.optional_output(dx, out[0], Shape(x), need_dx_.name, need_dx);
    const Array dweight(call, out[1], Shape(weight));
    const Array dbias(call, out[2], Shape().add(weight.shape[1]));
    if (need_dx) call.check_overlap(dx, {&x, &weight, &dy});
    call.check_overlap(dweight, {&x, &weight, &dy, &dx});
    call.check_overlap(dbias, {&x, &weight, &dy, &dx, &dweight});
    Results results(3);
    compute(call, (need_dx ? 2 : 1) * multiply_adds(count(x, 0, x.ndim - 1), weight.shape[0], weight.shape[1]),
            RELU_LAYERS_OP(dense_backward), AsMatrix{x}, AsMatrix{weight}, AsMatrix{dy}, slope, Written{dx},
            Written{dweight}, Written{dbias}, Same{accumulate});
    return results.add(result(dx)).add(result(dweight)).add(result(dbias)).take();
}

// One operand of a product of stacks: the last two axes, transposed if asked, and where each matrix of the broadcast
// stack starts.
struct Operand {
    bool transposed;
    Array array;

    Operand(Call& call, Argument given, bool transposed_) : transposed(transposed_), array(call, given) {}
    int stack_ndim() const { return array.ndim - 2; }
    int row_axis() const { return array.ndim - (transposed ? 1 : 2); }
    int column_axis() const { return array.ndim - (transposed ? 2 : 1); }
    index_t rows() const { return array.shape[row_axis()]; }
    index_t columns() const { return array.shape[column_axis()]; }

    // An axis of one element may carry any stride: it is never taken.
    index_t stride(int axis) const { return array.shape[axis] > 1 ? array.strides[axis] / array.item_bytes : 0; }
    bool in_elements() const {
        bool all = array.aligned();
        for (int i = 0; i < array.ndim; ++i)
            all = all && (array.shape[i] <= 1 || array.strides[i] % array.item_bytes == 0);
        return all;
    }
    // Whether the whole stack is one tall matrix.
    bool tall() const {
        index_t stride = 0;
        return !transposed && single_stride(array, 0, array.ndim - 1, stride);
    }
    AsMatrix::View of(Call&) const {
        return {array.place(), rows(), columns(), stride(row_axis()), stride(column_axis())};
    }
    // Offsets, in elements, of the matrices of a stack of shape `stack`.
    std::vector<index_t> offsets(const Shape& stack, index_t number) const {
        std::vector<index_t> found(static_cast<std::size_t>(number), 0);
        index_t repeat = 1;  // consecutive matrices that share the index on the axis
        for (int axis = stack.ndim - 1; axis >= 0; --axis) {
            const int own = axis - (stack.ndim - stack_ndim());
            const index_t step = own >= 0 ? stride(own) : 0;
            for (index_t i = 0; i < number && step != 0; ++i)
                found[static_cast<std::size_t>(i)] += i / repeat % stack.dims[axis] * step;
            repeat *= stack.dims[axis];
        }
        return found;
    }
};

// The shape that the stacks of both operands broadcast to.
Shape broadcast_stacks(const Call& call, const Operand& a, const Operand& b) {
    Shape stack;
    stack.ndim = a.stack_ndim() > b.stack_ndim() ? a.stack_ndim() : b.stack_ndim();
    for (int axis = 0; axis < stack.ndim; ++axis) {
        const auto length = [&](const Operand& operand) {
            const int own = axis - (stack.ndim - operand.stack_ndim());
            return own >= 0 ? operand.array.shape[own] : 1;
        };
        if (length(a) != length(b) && length(a) != 1 && length(b) != 1)
            call.value_error("the stacks %s of a and %s of b do not broadcast",
                             text_of(a.array.shape, a.stack_ndim()).c_str(),
                             text_of(b.array.shape, b.stack_ndim()).c_str());
        stack.dims[axis] = length(a) == 1 ? length(b) : length(a);
    }
    return stack;
}

// An output as `rows` rows of `cols` numbers each: the first of a stack.
struct AsProduct {
    Place place;
    index_t rows;
    index_t cols;

    template <class T>
    Rows<T> at(const Run& run) const {
        return {place.in<T>(run), rows, cols, cols};
    }
};

void multiply(Call& call, Operand& a, Operand& b, const Shape& stack, bool accumulate, const Array& c) {
    if (!a.in_elements()) call.copy(a.array);
    if (!b.in_elements()) call.copy(b.array);
    index_t number = 1;
    for (int i = 0; i < stack.ndim; ++i) number *= stack.dims[i];
    const index_t m = a.rows();
    const index_t n = b.columns();
    const double work = double(number) * multiply_adds(m, n, a.columns());
    const auto product = [&](const auto& left, index_t rows) {
        compute(call, work, RELU_LAYERS_OP(matmul), left, b, Same{accumulate}, AsProduct{c.place(), rows, n});
    };
    if (number == 1) return product(a, m);
    if (b.stack_ndim() == 0 && a.tall()) return product(AsMatrix{a.array}, number * m);
    std::vector<index_t> starts(static_cast<std::size_t>(number));
    for (std::size_t i = 0; i < starts.size(); ++i) starts[i] = static_cast<index_t>(i) * m * n;
    const auto products = [=, left = a.offsets(stack, number), right = b.offsets(stack, number),
                           starts = std::move(starts)](auto as, auto bs, auto cs) {
        ops::matmul_stack(number, as, left.data(), bs, right.data(), accumulate, cs, starts.data());
    };
    compute(call, work, products, a, b, AsProduct{c.place(), m, n});
}

py::object matmul(Call& call, Argument a_, Argument b_, Argument transpose_a, Argument transpose_b,
                  Argument accumulate_, Argument out) {
    const bool turn_a = call.flag(transpose_a);
    const bool turn_b = call.flag(transpose_b);
    const bool accumulate = call.flag(accumulate_);
    Operand a(call, a_, turn_a);
    Operand b(call, b_, turn_b);
    for (const Array* array : {&a.array, &b.array}) call.expect_shape(array->ndim >= 2, *array, "at least 2 axes");
    if (a.columns() != b.rows())
        call.value_error("a has %zd columns but b has %zd rows (after transposing)", a.columns(), b.rows());
    const Shape stack = broadcast_stacks(call, a, b);
    if (accumulate && out.is_none())
        call.value_error("accumulate is True and out is None: pass out, the array to add to");
    const Array c(call, out, Shape(stack).add(a.rows()).add(b.columns()));
    call.check_overlap(c, {&a.array, &b.array});
    if (c.size > 0) multiply(call, a, b, stack, accumulate, c);
    return result(c);
}

}  // namespace

void bind_matmul(py::handle m) {
    define<&matmul>(m, "matmul(a, b, *, transpose_a=False, transpose_b=False, accumulate=False, out=None)");
    define_type<PackedWeight, py::object>(m, "PackedWeight(weight)", {});
    define<&dense_forward>(m, "dense_forward(x, weight, bias=None, *, negative_slope=None, out=None)");
    define<&dense_backward>(m,
                            "dense_backward(x, weight, dy, *, need_dx=True, accumulate=False, negative_slope=None, "
                            "out=None)");
}

}  // namespace relu_layers::bindings
