//! Bytes objects that become shorter.

use batonloop_cpython::bytes::shortened;
use pyo3::types::{PyAnyMethods, PyBytes, PyBytesMethods};

use crate::bench::with_python;

#[test]
fn bytes_that_nobody_else_holds_become_shorter_where_they_stand() {
    with_python(|py| {
        let whole = PyBytes::new(py, &[7; 100_000]);
        let (place, number) = (whole.as_ptr(), whole.hash().expect("bytes have one"));
        let front = shortened(whole, 65_536).expect("nobody else holds it");
        assert_eq!(front.as_ptr(), place);
        assert_eq!(front.as_bytes(), [7; 65_536]);
        assert_ne!(front.hash().expect("bytes have one"), number);
        assert!(front.as_any().eq(PyBytes::new(py, &[7; 65_536])).expect("bytes compare"));
        let all = shortened(front, 65_536).expect("nothing changes");
        assert_eq!(all.as_bytes().len(), 65_536);
    });
}

#[test]
fn bytes_that_somebody_holds_stay_as_they_are() {
    with_python(|py| {
        let whole = PyBytes::new(py, &[7; 100_000]);
        // The interpreter refuses up to 3.12, and makes a copy since.
        if let Ok(copy) = shortened(whole.clone(), 65_536) {
            assert!(!copy.is(&whole));
            assert_eq!(copy.as_bytes(), [7; 65_536]);
        }
        assert_eq!(whole.as_bytes(), [7; 100_000]);
    });
}
