//! The bytes of an object are looked at where they stand.

use batonloop_cpython::buffer::View;
use pyo3::exceptions::{PyBufferError, PyTypeError};
use pyo3::types::{PyByteArray, PyByteArrayMethods, PyBytes, PyBytesMethods};

use crate::bench::{value, with_python};

#[test]
fn any_row_of_bytes_can_be_read() {
    with_python(|py| {
        for code in [c"b'abc'", c"bytearray(b'abc')", c"memoryview(b'xabcx')[1:4]"] {
            let object = value(py, code);
            let view = View::read(&object).expect("bytes");
            assert_eq!((view.len(), view.is_empty()), (3, false));
            assert_eq!(view.copy_from(0).expect("memory").as_bytes(), b"abc");
            assert_eq!(view.copy_from(2).expect("memory").as_bytes(), b"c");
            assert_eq!(view.copy_from(9).expect("memory").as_bytes(), b"");
            let mut all = vec![b'-'];
            view.append_to(&mut all);
            view.append_to(&mut all);
            assert_eq!(all, b"-abcabc");
        }
        let empty = PyBytes::new(py, b"");
        assert!(View::read(empty.as_any()).expect("no bytes").is_empty());
    });
}

#[test]
fn what_is_no_row_of_bytes_is_refused() {
    with_python(|py| {
        let error = View::read(&value(py, c"5")).err().expect("a number has no bytes");
        assert!(error.is_instance_of::<PyTypeError>(py));
        let holes = value(py, c"memoryview(b'abcd')[::2]");
        let error = View::read(&holes).err().expect("there are holes");
        assert!(error.is_instance_of::<PyBufferError>(py));
        let error = View::write(&value(py, c"b'x'")).err().expect("nobody may write there");
        assert!(error.is_instance_of::<PyBufferError>(py));
    });
}

#[test]
fn an_array_keeps_its_size_while_it_is_looked_at() {
    with_python(|py| {
        let array = PyByteArray::new(py, b"abc");
        let view = View::write(array.as_any()).expect("bytes");
        assert!(array.resize(9).is_err());
        drop(view);
        array.resize(9).expect("nobody looks");
    });
}
