//! The arguments of an `__init__` that asyncio has in Python, and the words for wrong ones.
//!
//! Whatever is called often takes its arguments as the interpreter hands them over
//! (`batonloop_cpython::method::Args`), and says what a C function says.

use pyo3::exceptions::PyTypeError;
use pyo3::types::{PyAny, PyAnyMethods, PyDict, PyDictMethods, PyTuple, PyTupleMethods};
use pyo3::{Bound, PyErr, PyResult};

/// The parameters of an `__init__`, and the words of a Python function for wrong arguments.
pub(crate) struct Parameters<const N: usize> {
    pub(crate) class: &'static str,
    pub(crate) names: [&'static str; N],
    /// So many of them must be given; None counts as not given for the others.
    pub(crate) required: usize,
}

impl<const N: usize> Parameters<N> {
    /// The arguments of a call, in the order of the names.
    ///
    /// TypeError, for what Python looks at first: unknown ones, doubled, too many, missing.
    pub(crate) fn parse<'py>(
        &self,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<[Option<Bound<'py, PyAny>>; N]> {
        let mut found = [const { None }; N];
        for (place, argument) in found.iter_mut().zip(args.iter_borrowed()) {
            *place = Some(argument.to_owned());
        }
        for (name, value) in kwargs.into_iter().flat_map(|kwargs| kwargs.iter()) {
            let Some(place) = self.names.iter().position(|known| name.eq(known).unwrap_or(false))
            else {
                return Err(self.wrong(format!("got an unexpected keyword argument '{name}'")));
            };
            if found[place].replace(value).is_some() {
                return Err(self.wrong(format!("got multiple values for argument '{name}'")));
            }
        }
        if args.len() > N {
            // The object itself counts for Python.
            let least = if self.required < N {
                format!("from {} to ", self.required + 1)
            } else {
                String::new()
            };
            return Err(self.wrong(format!(
                "takes {least}{} positional arguments but {} were given",
                N + 1,
                args.len() + 1
            )));
        }
        self.check_required(&found)?;
        for place in &mut found[self.required..] {
            *place = place.take().filter(|argument| !argument.is_none());
        }
        Ok(found)
    }

    fn check_required(&self, found: &[Option<Bound<'_, PyAny>>; N]) -> PyResult<()> {
        let required = self.names.iter().zip(found).take(self.required);
        let missing = required.filter(|(_, argument)| argument.is_none());
        let missing: Vec<String> = missing.map(|(name, _)| format!("'{name}'")).collect();
        let (count, text) = match missing.as_slice() {
            [] => return Ok(()),
            [one] => ("1 required positional argument".to_owned(), one.clone()),
            [one, two] => {
                ("2 required positional arguments".to_owned(), format!("{one} and {two}"))
            }
            [rest @ .., last] => (
                format!("{} required positional arguments", missing.len()),
                format!("{}, and {last}", rest.join(", ")),
            ),
        };
        Err(self.wrong(format!("missing {count}: {text}")))
    }

    #[cold]
    fn wrong(&self, what: String) -> PyErr {
        PyTypeError::new_err(format!("{}.__init__() {what}", self.class))
    }
}

/// Whether an argument was given, and is None.
pub(crate) fn is_given_as_none(
    args: &Bound<'_, PyTuple>,
    kwargs: Option<&Bound<'_, PyDict>>,
    place: usize,
    name: &str,
) -> bool {
    let by_place = args.get_item(place).is_ok_and(|argument| argument.is_none());
    let by_name = || kwargs?.get_item(name).ok().flatten();
    by_place || by_name().is_some_and(|argument| argument.is_none())
}
