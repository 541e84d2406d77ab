//! A Python socket is read where it stands, and only where nobody has changed what it does.

use batonloop_cpython::socket::{Socket, cast_genuine, prove_layout};
use pyo3::types::{PyAny, PyAnyMethods};
use pyo3::{Bound, Python};

use crate::bench::{define, name, value, with_python};

fn socket(py: Python<'_>) -> Bound<'_, PyAny> {
    py.import("socket").expect("socket");
    value(py, c"__import__('socket').socket()")
}

#[test]
fn a_socket_says_what_its_methods_say() {
    with_python(|py| {
        assert!(prove_layout(py).expect("a proof"));
        let object = socket(py);
        let socket = cast_genuine(&object).expect("a plain socket");
        let fileno = object.call_method0("fileno").expect("a number");
        assert_eq!(socket.descriptor(), fileno.extract::<i32>().expect("an int"));
        let family = ["family", "type", "proto"]
            .map(|name| object.getattr(name).expect(name).extract::<i32>().expect("an int"));
        assert_eq!(socket.family(), family);
        assert!(!socket.is_non_blocking());
        object.call_method1("setblocking", (false,)).expect("a socket");
        assert!(socket.is_non_blocking());
        object.call_method1("settimeout", (0.5,)).expect("a socket");
        assert!(!socket.is_non_blocking());
        object.call_method0("close").expect("a socket");
        assert_eq!(socket.descriptor(), -1);
    });
}

#[test]
fn what_may_do_otherwise_is_no_genuine_socket() {
    with_python(|py| {
        assert!(prove_layout(py).expect("a proof"));
        let names = define(
            py,
            c"import socket, _socket
class Sub(socket.socket): pass
others = [Sub(), _socket.socket(), object(), 3, None]
for other in others[:2]: other.close()
",
        );
        for other in name(&names, "others").try_iter().expect("a list") {
            assert!(cast_genuine(&other.expect("an object")).is_none());
        }
    });
}

#[test]
fn a_patched_class_is_told_from_one_that_was_patched_back() {
    with_python(|py| {
        assert!(prove_layout(py).expect("a proof"));
        let object = socket(py);
        let class = object.get_type();
        let is_genuine = || cast_genuine(&object).map(Socket::descriptor).is_some();
        for method in ["recv", "send", "accept"] {
            assert!(is_genuine());
            assert!(is_genuine());
            let own = class.getattr(method).expect("a method");
            let inherited = !class.getattr("__dict__").expect("a dict").contains(method).unwrap();
            class.setattr(method, py.None()).expect("a class");
            assert!(!is_genuine(), "{method}");
            assert!(!is_genuine(), "{method}");
            if inherited {
                class.delattr(method).expect("a class");
            } else {
                class.setattr(method, own).expect("a class");
            }
        }
        assert!(is_genuine());
        // Any other attribute may be set.
        class.setattr("colour", "red").expect("a class");
        assert!(is_genuine());
        class.delattr("colour").expect("a class");
        object.call_method0("close").expect("a socket");
    });
}
