// The slow side of a call: what cannot be taken as it is, and the errors that say what to pass instead.
#include <cstdarg>

#include "bindings/call.h"

namespace relu_layers::bindings {
namespace {

std::string short_type_name(py::handle value) {
    const std::string full = Py_TYPE(value.ptr())->tp_name;
    const auto dot = full.rfind('.');
    return dot == std::string::npos ? full : full.substr(dot + 1);
}

const char* float_name(int type) { return type == float32_type ? "float32" : "float64"; }

std::string article(const std::string& noun) {
    return (std::string("AEIOUaeio").find(noun[0]) == std::string::npos ? "a " : "an ") + noun;
}

// "a list", "None".
std::string kind_of(py::handle value) { return value.is_none() ? "None" : article(short_type_name(value)); }

// Whether NumPy makes an array of numbers of the value: what is advised has to run.
bool becomes_array(py::handle value, int type) {
    const py::object numpy = owned(PyImport_ImportModule("numpy"));
    const auto made = py::reinterpret_steal<py::object>(
        PyObject_CallMethod(numpy.ptr(), "asarray", "Os", value.ptr(), float_name(type)));
    if (!made) PyErr_Clear();
    return static_cast<bool>(made);
}

// Whether int(value) or float(value) runs.
bool converts(PyObject* (*convert)(PyObject*), PyObject* value) {
    const auto made = py::reinterpret_steal<py::object>(convert(value));
    if (!made) PyErr_Clear();
    return static_cast<bool>(made);
}

// What to pass instead of something that is no plain ndarray.
std::string remedy(const char* name, py::handle value, int type) {
    const std::string dtype = std::string("np.") + float_name(type);
    const std::string own = name;
    const std::string kind = short_type_name(value);
    if (kind == "MaskedArray") return "pass " + own + ".filled(0), or another value for what is masked";
    // Labels are integers, or as they come; all other arrays are of one type.
    const bool any_type = own == "labels";
    const std::string converted = any_type ? "" : ".astype(" + dtype + ")";
    if (PyObject_HasAttrString(value.ptr(), "toarray") == 1) return "pass " + own + ".toarray()" + converted;
    if (PyObject_HasAttrString(value.ptr(), "to_numpy") == 1) return "pass " + own + ".to_numpy()" + converted;
    if (is_array(value.ptr())) return "pass np.asarray(" + own + ")";
    if (value.is_none() || !becomes_array(value, type)) return "pass an array of numbers";
    return "pass np.asarray(" + own + (any_type ? "" : ", dtype=" + dtype) + ")";
}

bool is_true_attribute(py::handle value, const char* attribute) {
    const auto found = py::reinterpret_steal<py::object>(PyObject_GetAttrString(value.ptr(), attribute));
    if (!found) {
        PyErr_Clear();
        return false;
    }
    const int truth = PyObject_IsTrue(found.ptr());
    if (truth < 0) PyErr_Clear();
    return truth == 1;
}

}  // namespace

std::string text_of(const index_t* dims, int ndim) {
    std::string text = "(";
    for (int i = 0; i < ndim; ++i) text += (i > 0 ? ", " : "") + std::to_string(dims[i]);
    return text + (ndim == 1 ? ",)" : ")");
}

void Call::error(PyObject* type, const char* format, ...) const {
    std::va_list values;
    va_start(values, format);
    PyObject* const text = PyUnicode_FromFormatV(format, values);
    va_end(values);
    PyErr_Format(type, "%s: %U", op_, owned(text).ptr());
    throw Raised();
}

// A memmap is an ndarray with a file behind it. Other subclasses carry a meaning (a mask, units, matrix products) that
// the op would drop.
bool Call::is_memmap(PyObject* value) {
    protect();
    return imported("numpy", "memmap").ptr() == reinterpret_cast<PyObject*>(Py_TYPE(value));
}

namespace {

// Closes the error of NumPy, which could not read the value through DLPack, by what to pass.
[[noreturn]] void raise_unread(const Call& call, const char* name, py::handle value) {
    if (PyErr_ExceptionMatches(PyExc_Exception) == 0 || PyErr_ExceptionMatches(PyExc_MemoryError) != 0) throw Raised();
    const py::object cause = taken_exception();
    const std::string advice = is_true_attribute(value, "requires_grad")
                                   ? std::string("it requires grad: pass ") + name + ".detach()"
                                   : std::string("pass a NumPy array, or a dense array in the memory of the CPU");
    PyErr_Format(PyExc_TypeError, "%s: %s is %s that could not be read through DLPack (%S); %s", call.op(), name,
                 article(short_type_name(value)).c_str(), cause.ptr(), advice.c_str());
    const py::object error = taken_exception();
    PyException_SetCause(error.ptr(), borrowed(cause).release().ptr());
    PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(error.ptr())), error.ptr());
    throw Raised();
}

}  // namespace

void Call::import(Array& array, Argument given) {
    const char* const name = given.name;
    const py::handle value = given.value;
    if (is_memmap(given.value)) {
        look(array, name, value.ptr());
        return;
    }
    const bool exports = !is_array(value.ptr()) && PyObject_HasAttrString(value.ptr(), "__dlpack__") == 1;
    if (!exports)
        type_error("%s is %s, expected a numpy.ndarray: %s", name, kind_of(value).c_str(),
                   remedy(name, value, type_ == no_type ? float32_type : type_).c_str());
    array.owned =
        py::reinterpret_steal<py::object>(PyObject_CallOneArg(imported("numpy", "from_dlpack").ptr(), value.ptr()));
    if (!array.owned) raise_unread(*this, name, value);
    look(array, name, array.owned.ptr());
}

void Call::expect_entries(Argument out, Py_ssize_t count) const {
    if (!PyTuple_Check(out.value))
        type_error("out is %s, expected a tuple of %zd arrays", article(short_type_name(out.value)).c_str(), count);
    const Py_ssize_t came = PyTuple_GET_SIZE(out.value);
    if (came != count) value_error("out has %zd entries, expected %zd", came, count);
}

std::string reshaped(const Array& array, const Shape& shape) {
    index_t size = 1;
    for (int i = 0; i < shape.ndim; ++i) size *= shape.dims[i];
    if (size != array.size) return "";
    return std::string(": pass ") + array.name + ".reshape(" + text_of(shape) + ")";
}

void Call::expect_floats(const Array& array) const {
    const char* const name = array.name;
    const char* const expected = type_ == no_type ? "float32 or float64" : float_name(type_);
    if (array.type > longdouble_type && array.type != half_type)
        type_error("%s has dtype %S, expected %s", name, dtype(array), expected);
    if (array.type != float32_type && array.type != float64_type)
        type_error("%s has dtype %S, expected %s: pass %s.astype(np.%s)", name, dtype(array), expected, name,
                   float_name(type_ == no_type ? float32_type : type_));
    if (type_ != no_type && array.type != type_)
        type_error("%s has dtype %S but %s has %s, expected one dtype for all arrays: pass %s.astype(np.%s)", name,
                   dtype(array), type_from_, expected, name, expected);
}

void Call::expect_shape(const Array& array, const Shape& shape) const {
    if (!array.same_shape(shape.ndim, shape.dims))
        value_error("%s has shape %s, expected %s%s", array.name, text_of(array).c_str(), text_of(shape).c_str(),
                    reshaped(array, shape).c_str());
}

// Says what is wrong with an array that is to be written; the caller found that something is.
void Call::expect_writable(const Array& array, Argument given, const Shape& shape, int type, Change change) const {
    const std::string expected = type == float32_type || type == float64_type ? float_name(type) : "uint8";
    // An array whose values count must not be made for the call alone: what it learns would be lost.
    const std::string advice =
        change == Change::overwritten
            ? ": pass np.empty(" + text_of(shape) + ", np." + expected + ")"
            : ", since it is changed in place: keep one C-contiguous, writable array of " + expected + " and pass that";
    const char* const name = array.name;
    if (!array.present())
        type_error("%s is %s, expected a numpy.ndarray to write to%s", name, kind_of(given.value).c_str(),
                   advice.c_str());
    if (array.type != type)
        type_error("%s has dtype %S, expected %s%s", name, dtype(array), expected.c_str(), advice.c_str());
    if (!array.same_shape(shape.ndim, shape.dims))
        value_error("%s has shape %s, expected %s%s", name, text_of(array).c_str(), text_of(shape).c_str(),
                    advice.c_str());
    const char* const what = !array.writable()     ? "read-only, expected a writable array"
                             : !array.contiguous() ? "not C-contiguous, expected an array that is"
                                                   : "misaligned, expected an aligned array";
    value_error("%s is %s%s", name, what, advice.c_str());
}

double Call::convert_number(Argument given) {
    const char* const name = given.name;
    const py::handle value = given.value;
    protect();
    const auto fail = [&] {
        const bool convertible = !is_array(value.ptr()) && converts(PyNumber_Float, value.ptr());
        type_error(convertible ? "%s is %s, expected a number: pass float(%s)" : "%s is %s, expected a number", name,
                   kind_of(value).c_str(), name);
    };
    if (is_array(value.ptr()) && struct_of(value.ptr())->nd > 0) fail();
    const double number = PyFloat_AsDouble(value.ptr());
    if (number != -1.0 || !PyErr_Occurred()) return number;
    if (PyErr_ExceptionMatches(PyExc_TypeError)) {
        PyErr_Clear();
        fail();
    }
    if (PyErr_ExceptionMatches(PyExc_OverflowError)) {
        PyErr_Clear();
        value_error("%s is an integer too large for a float", name);
    }
    throw Raised();
}

py::int_ Call::index(Argument given) {
    const char* const name = given.name;
    const py::handle value = given.value;
    if (!PyLong_CheckExact(value.ptr())) protect();
    PyObject* const index = PyNumber_Index(value.ptr());
    if (index != nullptr) return py::reinterpret_steal<py::int_>(index);
    if (!PyErr_ExceptionMatches(PyExc_TypeError)) throw Raised();
    PyErr_Clear();
    const bool convertible = converts(PyNumber_Long, value.ptr());
    type_error(convertible ? "%s is %s, expected an integer: pass int(%s)" : "%s is %s, expected an integer", name,
               kind_of(value).c_str(), name);
}

std::int64_t Call::integer(Argument given) {
    const py::int_ number = index(given);
    int overflow = 0;
    const long long found = PyLong_AsLongLongAndOverflow(number.ptr(), &overflow);
    expect(overflow == 0, {given.name, number.ptr()}, "an integer of 64 bits");
    return found;
}

std::uint64_t Call::word(Argument given) {
    const py::int_ number = index(given);
    const unsigned long long found = PyLong_AsUnsignedLongLong(number.ptr());
    if (found == static_cast<unsigned long long>(-1) && PyErr_Occurred() != nullptr) {
        PyErr_Clear();
        value_error("%s is %R, expected 0 <= %s < 2**64", given.name, number.ptr(), given.name);
    }
    return found;
}

bool Call::flag(Argument given) {
    PyObject* const value = given.value;
    if (value == Py_True || value == Py_False) return value == Py_True;
    protect();
    if (Py_TYPE(value) != reinterpret_cast<PyTypeObject*>(imported("numpy", "bool_").ptr()))
        type_error("%s is %R, expected True or False", given.name, value);
    return PyObject_IsTrue(value) == 1;
}

int Call::choice(Argument given, std::initializer_list<const char*> choices) {
    PyObject* const value = given.value;
    if (PyUnicode_Check(value)) {
        int position = 0;
        for (const char* text : choices) {
            if (PyUnicode_CompareWithASCIIString(value, text) == 0) return position;
            ++position;
        }
    }
    protect();
    std::string listed;
    for (const char* text : choices) listed += (listed.empty() ? "'" : ", '") + std::string(text) + "'";
    expect(false, given, ("one of " + listed).c_str());
    return 0;
}

}  // namespace relu_layers::bindings
