//! The command line of a load: names and whole numbers.

use std::io;

/// What the command line says; a number that was not given is zero, and no option means zero.
#[derive(Debug, Default)]
pub(crate) struct Options {
    pub(crate) port: u16,
    /// How many at a time.
    pub(crate) connections: usize,
    /// Bytes of a message.
    pub(crate) size: usize,
    /// How long a window lasts.
    pub(crate) milliseconds: u64,
    /// How many requests instead, exactly.
    pub(crate) count: u64,
    /// The process whose cost is asked for; zero: nobody's.
    pub(crate) server: u32,
}

impl Options {
    /// Reads `--name value` pairs.
    ///
    /// # Errors
    ///
    /// A name that is not known, a value that is no number, no port or no connection.
    pub(crate) fn read(arguments: &[String]) -> io::Result<Self> {
        let mut options = Self { connections: 1, ..Self::default() };
        for pair in arguments.chunks(2) {
            let [name, value] = pair else { return Err(wrong(&pair[0])) };
            let number: u64 = value.parse().map_err(|_| wrong(name))?;
            let small = u32::try_from(number).map_err(|_| wrong(name))?;
            match name.as_str() {
                "--port" => options.port = u16::try_from(number).map_err(|_| wrong(name))?,
                "--connections" => options.connections = small as usize,
                "--size" => options.size = small as usize,
                "--milliseconds" => options.milliseconds = number,
                "--count" => options.count = number,
                "--server" => options.server = small,
                _ => return Err(wrong(name)),
            }
        }
        if !arguments.is_empty() && (options.port == 0 || options.connections == 0) {
            return Err(io::Error::other("a load needs a port and at least one connection"));
        }
        Ok(options)
    }
}

fn wrong(name: &str) -> io::Error {
    io::Error::other(format!("{name}: an option is --name and a whole number"))
}
