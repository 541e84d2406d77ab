//! How much may wait to be written: asyncio's `_FlowControlMixin`.

use batonloop_cpython::slot::Slot;
use pyo3::exceptions::PyValueError;
use pyo3::types::{PyAny, PyAnyMethods};
use pyo3::{Bound, IntoPyObject, PyErr, PyResult, intern};

use super::{PROTOCOL_PAUSED, Transport};

/// What `set_write_buffer_limits()` sets when nothing is said, in bytes.
const HIGH: usize = 64 * 1024;

impl<'py> Transport<'_, 'py> {
    /// Both limits as they are for a new transport.
    pub(super) fn set_default_limits(self) {
        self.fields.high.set(HIGH);
        self.fields.low.set(HIGH / 4);
    }

    /// `set_write_buffer_limits(high, low)`.
    pub(super) fn set_limits(
        self,
        high: Option<&Bound<'py, PyAny>>,
        low: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<()> {
        let py = self.py();
        let given = |limit: Option<&Bound<'py, PyAny>>| limit.filter(|it| !it.is_none()).cloned();
        let (high, low) = (given(high), given(low));
        let number = |value: usize| -> PyResult<Bound<'py, PyAny>> {
            Ok(value.into_pyobject(py)?.into_any())
        };
        let high = match (high, &low) {
            (Some(high), _) => high,
            (None, None) => number(HIGH)?,
            (None, Some(low)) => low.mul(4)?,
        };
        let low = match low {
            Some(low) => low,
            None => high.floor_div(4)?,
        };
        if !(high.ge(&low)? && low.ge(0)?) {
            return Err(bad_limits(&high, &low));
        }
        let whole = [at_most(&high), at_most(&low)];
        let fields = self.fields;
        for ((place, slot), (limit, whole)) in
            [(&fields.high, &fields.high_water), (&fields.low, &fields.low_water)]
                .into_iter()
                .zip([high, low].into_iter().zip(whole))
        {
            place.set(whole);
            // Kept as it was given where that is no plain number: a fraction, infinity, or more
            // than memory can hold.
            if limit.extract::<usize>().is_ok() {
                slot.clear(py);
            } else {
                slot.set(limit);
            }
        }
        Ok(())
    }

    /// The limits (low, high) as they were given.
    pub(super) fn limits(self) -> PyResult<[Bound<'py, PyAny>; 2]> {
        let py = self.py();
        let limit = |slot: &Slot, value: usize| -> PyResult<Bound<'py, PyAny>> {
            match slot.get(py) {
                Some(given) => Ok(given),
                None => Ok(value.into_pyobject(py)?.into_any()),
            }
        };
        let fields = self.fields;
        let low = limit(&fields.low_water, fields.low.get())?;
        Ok([low, limit(&fields.high_water, fields.high.get())?])
    }

    /// Asks the protocol to pause if too much waits.
    pub(super) fn maybe_pause_protocol(self) -> PyResult<()> {
        if self.fields.unwritten.get() <= self.fields.high.get() || self.fields.has(PROTOCOL_PAUSED)
        {
            return Ok(());
        }
        self.fields.add(PROTOCOL_PAUSED);
        self.notify(intern!(self.py(), "pause_writing"))
    }

    /// Lets the protocol go on if little waits.
    pub(super) fn maybe_resume_protocol(self) -> PyResult<()> {
        if !self.fields.has(PROTOCOL_PAUSED) || self.fields.unwritten.get() > self.fields.low.get()
        {
            return Ok(());
        }
        self.fields.remove(PROTOCOL_PAUSED);
        self.notify(intern!(self.py(), "resume_writing"))
    }
}

/// The largest number of bytes that is not above a limit, which may be any number of Python's. What
/// is larger than memory is as good as no limit.
pub(crate) fn at_most(limit: &Bound<'_, PyAny>) -> usize {
    let whole = limit.extract::<usize>();
    whole
        .or_else(|_| limit.extract::<f64>().map(|limit| limit.floor() as usize))
        .unwrap_or(usize::MAX)
}

#[cold]
fn bad_limits(high: &Bound<'_, PyAny>, low: &Bound<'_, PyAny>) -> PyErr {
    let shown = |it: &Bound<'_, PyAny>| it.repr().map_or_else(|_| "?".into(), |it| it.to_string());
    let (high, low) = (shown(high), shown(low));
    PyValueError::new_err(format!("high ({high}) must be >= low ({low}) must be >= 0"))
}
