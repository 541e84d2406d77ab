//! Records are read and written on the connection that Python's own objects hold.

use std::ffi::CString;

use batonloop_cpython::buffer::View;
use batonloop_cpython::openssl::{Connection, End, Library};
use pyo3::types::{PyAny, PyAnyMethods, PyByteArray, PyByteArrayMethods, PyBytes, PyBytesMethods};
use pyo3::{Bound, Python};

use crate::bench::{define, name, with_python};

/// Two ends of a connection whose handshake is done, by the methods of `ssl.SSLObject`.
struct Pair<'py> {
    server: Bound<'py, PyAny>,
    client: Bound<'py, PyAny>,
    to_server: Bound<'py, PyAny>,
    to_client: Bound<'py, PyAny>,
}

impl<'py> Pair<'py> {
    /// By TLS 1.2, in which nothing but data follows the handshake.
    fn new(py: Python<'py>) -> Self {
        let certificate =
            concat!(env!("CARGO_MANIFEST_DIR"), "/../../python/tests/certs/localhost.pem");
        let code = format!(
            "import ssl
def context(protocol):
    made = ssl.SSLContext(protocol)
    made.maximum_version = ssl.TLSVersion.TLSv1_2
    return made
to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
of_server, of_client = context(ssl.PROTOCOL_TLS_SERVER), context(ssl.PROTOCOL_TLS_CLIENT)
of_server.load_cert_chain({certificate:?})
of_client.check_hostname = False
of_client.verify_mode = ssl.CERT_NONE
server = of_server.wrap_bio(to_server, to_client, True)
client = of_client.wrap_bio(to_client, to_server)
for end in [client, server] * 3:
    try:
        end.do_handshake()
    except ssl.SSLWantReadError:
        pass
"
        );
        let names = define(py, &CString::new(code).expect("no zero in it"));
        let get = |wanted| name(&names, wanted);
        Self {
            server: get("server").getattr("_sslobj").expect("what SSLObject wraps"),
            client: get("client"),
            to_server: get("to_server"),
            to_client: get("to_client"),
        }
    }

    fn open(&self) -> Connection {
        let connection = Connection::new();
        assert!(connection.open(&self.server, &self.to_server, &self.to_client));
        connection
    }

    fn client_writes(&self, data: &[u8]) {
        let data = PyBytes::new(self.client.py(), data);
        self.client.call_method1("write", (data,)).expect("room");
    }

    fn client_reads(&self) -> Vec<u8> {
        self.client.call_method1("read", (1 << 20,)).and_then(|it| it.extract()).expect("data")
    }
}

fn read(connection: &Connection, py: Python<'_>) -> (Vec<u8>, End) {
    let (data, end) = connection.read(py).expect("memory");
    (data.map_or_else(Vec::new, |data| data.as_bytes().to_vec()), end)
}

#[test]
fn the_layout_of_this_python_is_known() {
    with_python(|py| assert!(Library::find(py).is_some()));
}

#[test]
fn all_records_are_read_into_one_object() {
    with_python(|py| {
        let pair = Pair::new(py);
        let connection = pair.open();
        assert_eq!(read(&connection, py), (Vec::new(), End::Again));
        for sizes in [&[1][..], &[5, 6], &[8192], &[8191, 2], &[16384, 1], &[100; 200], &[9000; 9]]
        {
            let mut expected = Vec::new();
            for (index, size) in sizes.iter().enumerate() {
                let record = vec![index as u8; *size];
                pair.client_writes(&record);
                expected.extend(record);
            }
            assert!(connection.pending_in(py) > Some(expected.len()));
            assert_eq!(read(&connection, py), (expected, End::Again));
            assert_eq!(connection.pending(py), 0);
        }
    });
}

#[test]
fn half_a_record_waits_for_the_other_half() {
    with_python(|py| {
        let pair = Pair::new(py);
        let connection = pair.open();
        pair.client_writes(&[7; 16384]);
        let record: Vec<u8> =
            pair.to_server.call_method0("read").and_then(|it| it.extract()).expect("a record");
        assert!(connection.feed(py, &record[..16000]));
        assert_eq!(read(&connection, py), (Vec::new(), End::Again));
        let rest = PyByteArray::new(py, &record[16000..]);
        assert!(connection.feed_from(&rest, usize::MAX));
        assert_eq!(read(&connection, py), (vec![7; 16384], End::Again));
    });
}

#[test]
fn a_buffer_is_filled_between_two_places() {
    with_python(|py| {
        let pair = Pair::new(py);
        let connection = pair.open();
        pair.client_writes(b"abcdef");
        let buffer = PyByteArray::new(py, b"--------");
        let view = View::write(buffer.as_any()).expect("bytes");
        assert_eq!(connection.read_into(&view, 1, 4, py), Ok(3));
        assert_eq!(connection.read_into(&view, 4, usize::MAX, py), Ok(3));
        assert_eq!(connection.read_into(&view, 7, 8, py), Err(End::Again));
        drop(view);
        assert_eq!(buffer.to_vec(), b"-abcdef-");
    });
}

#[test]
fn what_is_written_goes_out_in_one_piece() {
    with_python(|py| {
        let pair = Pair::new(py);
        let connection = pair.open();
        assert!(connection.drain(py).expect("memory").is_none());
        let data = PyBytes::new(py, &[3; 50_000]);
        let view = View::read(data.as_any()).expect("bytes");
        assert_eq!(connection.write(&view, 49_000, py), Ok(1_000));
        assert_eq!(connection.write(&view, 0, py), Ok(50_000));
        let pending = connection.pending_out(py).expect("open");
        let encrypted = connection.drain(py).expect("memory").expect("records");
        assert_eq!(encrypted.as_bytes().len(), pending);
        assert_eq!(connection.pending_out(py), Some(0));
        pair.to_client.call_method1("write", (encrypted,)).expect("room");
        let mut received = 0;
        while received < 51_000 {
            let piece = pair.client_reads();
            assert!(piece.iter().all(|byte| *byte == 3));
            received += piece.len();
        }
        assert_eq!(received, 51_000);
    });
}

#[test]
fn a_goodbye_is_an_end_and_an_error_is_left_to_the_method() {
    with_python(|py| {
        let pair = Pair::new(py);
        let connection = pair.open();
        pair.client_writes(b"last");
        pair.client.call_method0("unwrap").expect_err("the other side has not answered");
        assert_eq!(read(&connection, py), (b"last".to_vec(), End::Closed));
        assert_eq!(read(&connection, py), (Vec::new(), End::Closed));

        let pair = Pair::new(py);
        let connection = pair.open();
        pair.client_writes(b"good");
        assert!(connection.feed(py, &[255; 40]));
        assert_eq!(read(&connection, py), (b"good".to_vec(), End::Unclear));
        let error = pair.server.call_method1("read", (10,)).expect_err("no record");
        assert!(error.to_string().contains("[SSL: "), "{error}");
    });
}

#[test]
fn while_a_method_is_called_nobody_goes_the_direct_way() {
    with_python(|py| {
        let pair = Pair::new(py);
        let connection = pair.open();
        let data = PyBytes::new(py, b"data");
        let view = View::read(data.as_any()).expect("bytes");
        let buffer = PyByteArray::new(py, b"--------");
        let place = View::write(buffer.as_any()).expect("bytes");
        pair.client_writes(b"abc");
        let held = connection.hold(py).expect("nobody has it");
        assert!(connection.hold(py).is_none());
        assert_eq!(read(&connection, py), (Vec::new(), End::Unclear));
        assert_eq!(connection.read_into(&place, 0, 8, py), Err(End::Unclear));
        assert_eq!(connection.write(&view, 0, py), Err(End::Unclear));
        assert!(connection.is_open(py) && connection.pending_out(py) == Some(0));
        drop(held);
        assert_eq!(read(&connection, py), (b"abc".to_vec(), End::Again));
        assert_eq!(connection.write(&view, 0, py), Ok(4));
    });
}

#[test]
fn only_pythons_own_objects_that_belong_together_are_opened() {
    with_python(|py| {
        let (pair, other) = (Pair::new(py), Pair::new(py));
        let none = py.None().into_bound(py);
        let connection = Connection::new();
        for (socket, incoming, outgoing) in [
            (&none, &pair.to_server, &pair.to_client),
            (&pair.client, &pair.to_server, &pair.to_client),
            (&pair.server, &none, &pair.to_client),
            (&pair.server, &pair.to_server, &none),
            (&pair.server, &pair.to_client, &pair.to_server),
            (&pair.server, &other.to_server, &pair.to_client),
        ] {
            assert!(!connection.open(socket, incoming, outgoing));
            assert!(!connection.is_open(py));
        }
        assert!(connection.open(&pair.server, &pair.to_server, &pair.to_client));
        connection.close(py);
        assert!(!connection.is_open(py) && !connection.feed(py, b"x"));
        assert_eq!(read(&connection, py), (Vec::new(), End::Unclear));
    });
}
