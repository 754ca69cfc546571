// Replaying the inference of one model: what `model(x)` calls first.
#include <vector>

#include "bindings/bindings.h"
#include "bindings/capture.h"
#include "bindings/fastcall.h"
#include "bindings/guard.h"

namespace relu_layers::bindings {
namespace {

using py::detail::npy_api;

class InferenceReplay {
  public:
    InferenceReplay(py::object guard, py::array params)
        : guard_object_(std::move(guard)),
          guard_(guard_object_.cast<UsageGuard*>()),
          params_(std::move(params)),
          configuration_(configuration) {}

    void add(py::object capture) {
        captures_.insert(captures_.begin(), {capture, capture.cast<Capture*>()});
        if (captures_.size() > most_captures && !captures_.back().capture->busy) captures_.pop_back();
    }
    // How many captures fit x, busy or not.
    int count(py::handle x) const {
        int found = 0;
        for (const Entry& entry : captures_) found += entry.capture->expected(Slot::input).fits(x.ptr());
        return found;
    }
    bool current() const { return configuration_ == configuration; }
    void renew() { configuration_ = configuration; }

    // y, or None where only the layers themselves can tell what is to be done.
    PyObject* call(PyObject* x, PyObject* out) {
        if (configuration_ != configuration || !guard_->may_infer()) Py_RETURN_NONE;
        Entry* entry = nullptr;
        for (Entry& candidate : captures_) {
            if (candidate.capture->busy || !candidate.capture->expected(Slot::input).fits(x)) continue;
            entry = &candidate;
            break;
        }
        if (entry == nullptr) Py_RETURN_NONE;
        Capture& capture = *entry->capture;
        const Expected& expected = capture.expected(Slot::output);
        py::object y;
        if (out == Py_None) {
            const npy_api& api = npy_api::get();
            y = py::reinterpret_steal<py::object>(
                api.PyArray_NewFromDescr_(api.PyArray_Type_, api.PyArray_DescrFromType_(expected.type), expected.ndim,
                                          expected.dims, nullptr, nullptr, 0, nullptr));
            if (!y) return nullptr;
        } else {
            if (!expected.fits(out) || (py::detail::array_proxy(out)->flags & npy_api::NPY_ARRAY_WRITEABLE_) == 0 ||
                overlap(out, x) || overlap(out, params_.ptr()))
                Py_RETURN_NONE;
            y = py::reinterpret_borrow<py::object>(out);
        }
        Moment now;
        capture.place(now, Slot::input, x);
        capture.place(now, Slot::output, y.ptr());
        if (capture.long_enough()) {
            // The capture stays alive and its buffers this call's own while other threads run.
            const py::object kept = entry->object;
            Held held;
            held.hold(x);
            if (out != Py_None) held.hold(out);
            const InUse in_use(capture, *guard_);
            const ReleasedGil released;
            capture.program().run(replay::Phase::forward, now);
        } else {
            capture.program().run(replay::Phase::forward, now);
        }
        return y.release().ptr();
    }

  private:
    static constexpr std::size_t most_captures = 16;

    struct Entry {
        py::object object;
        Capture* capture;
    };

    // A capture and its model while an inference runs without the GIL, which is taken back before this ends.
    class InUse {
      public:
        InUse(Capture& capture, UsageGuard& guard) : capture_(capture), guard_(guard) {
            guard_.begin_inference();
            capture_.busy = true;
        }
        ~InUse() {
            capture_.busy = false;
            guard_.end_inference();
        }
        InUse(const InUse&) = delete;
        InUse& operator=(const InUse&) = delete;

      private:
        Capture& capture_;
        UsageGuard& guard_;
    };

    py::object guard_object_;
    UsageGuard* guard_;
    py::array params_;
    std::int64_t configuration_;
    std::vector<Entry> captures_;
};

PyObject* call(PyObject* self, PyObject* const* arguments, Py_ssize_t count) {
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "infer: expected x, out");
        return nullptr;
    }
    return translated(
        [=] { return static_cast<InferenceReplay*>(pointer_of(self))->call(arguments[0], arguments[1]); });
}

PyMethodDef call_definition = {"infer", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(&call)),
                               METH_FASTCALL, nullptr};

}  // namespace

void bind_inference_replay(py::module_& m) {
    using py::arg;
    py::class_<InferenceReplay>(m, "InferenceReplay")
        .def(py::init<py::object, py::array>(), arg("guard"), arg("params"))
        .def("add", &InferenceReplay::add, arg("capture"))
        .def("count", &InferenceReplay::count, arg("x"))
        .def("renew", &InferenceReplay::renew)
        .def_property_readonly("current", &InferenceReplay::current)
        .def_property_readonly("infer", [](const py::object& self) {
            return builtin(call_definition, self, self.cast<InferenceReplay*>());
        });
}

}  // namespace relu_layers::bindings
