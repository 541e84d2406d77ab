//! Bytearrays where they stand: what is appended, deleted and found.

use batonloop_cpython::bytearray::{append, delete_front, find, joined, show};
use pyo3::types::{PyByteArray, PyByteArrayMethods, PyMemoryView};

use crate::bench::with_python;

#[test]
fn bytes_are_joined_appended_and_deleted() {
    with_python(|py| {
        let array = joined(py, b"one ", b"two").expect("there is memory");
        append(&array, b" three").expect("nobody holds it");
        append(&array, b"").expect("nobody holds it");
        assert_eq!(array.to_vec(), b"one two three");
        delete_front(&array, 4).expect("nobody holds it");
        append(&array, b"!").expect("nobody holds it");
        show(&array, |whole| assert_eq!(whole, b"two three!"));
        delete_front(&array, 100).expect("as many as there are");
        assert_eq!(array.len(), 0);
    });
}

#[test]
fn a_bytearray_that_is_looked_into_keeps_its_size() {
    with_python(|py| {
        let array = PyByteArray::new(py, b"held");
        let view = PyMemoryView::from(array.as_any()).expect("it has bytes");
        assert!(append(&array, b"more").is_err());
        assert!(delete_front(&array, 1).is_err());
        assert_eq!(array.to_vec(), b"held");
        drop(view);
        append(&array, b"more").expect("nobody holds it");
        assert_eq!(array.to_vec(), b"heldmore");
    });
}

#[test]
fn the_first_place_is_found() {
    let text = b"a needle, two needles";
    assert_eq!(find(text, b"n"), Some(2));
    assert_eq!(find(text, b"needles"), Some(14));
    assert_eq!(find(text, b"x"), None);
    assert_eq!(find(text, b"needless"), None);
    assert_eq!(find(b"", b"n"), None);
    assert_eq!(find(b"", b"nn"), None);
    assert_eq!(find(b"short", b"longer than that"), None);
}
