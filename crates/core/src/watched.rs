//! The handles that wait for a descriptor: for each at most one reader and one writer.
//!
//! This table says what the *loop* wants. What the kernel was told is the host's affair; the host
//! speaks to the kernel first and changes the table only if the kernel agreed, so a descriptor that
//! cannot be polled leaves no trace here.

use std::collections::BTreeMap;

/// Descriptors below this number live in a plain table, the others in a tree. Without a limit, one
/// descriptor with a huge number would fill the memory with empty places.
const TABLE_LIMIT: usize = 1 << 16;

/// What a loop wants to hear about a descriptor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Interest {
    /// Whether something can be read, or the other side has hung up.
    pub readable: bool,
    /// Whether something can be written, or nobody will read it any more.
    pub writable: bool,
}

impl Interest {
    /// Nothing: the descriptor can be forgotten.
    pub const NONE: Self = Self { readable: false, writable: false };
    /// Reading only.
    pub const READABLE: Self = Self { readable: true, writable: false };
    /// Writing only.
    pub const WRITABLE: Self = Self { readable: false, writable: true };
    /// Reading and writing.
    pub const BOTH: Self = Self { readable: true, writable: true };

    /// Whether nothing is wanted.
    #[inline]
    #[must_use]
    pub const fn is_none(self) -> bool {
        !self.readable && !self.writable
    }

    /// This and what a side is roused by.
    #[must_use]
    pub const fn and(self, side: Side) -> Self {
        match side {
            Side::Reader => self.and_readable(),
            Side::Writer => self.and_writable(),
        }
    }

    /// This without what a side is roused by.
    #[must_use]
    pub const fn but(self, side: Side) -> Self {
        match side {
            Side::Reader => self.but_readable(),
            Side::Writer => self.but_writable(),
        }
    }

    /// This and reading.
    #[must_use]
    pub const fn and_readable(self) -> Self {
        Self { readable: true, ..self }
    }

    /// This and writing.
    #[must_use]
    pub const fn and_writable(self) -> Self {
        Self { writable: true, ..self }
    }

    /// This without reading.
    #[must_use]
    pub const fn but_readable(self) -> Self {
        Self { readable: false, ..self }
    }

    /// This without writing.
    #[must_use]
    pub const fn but_writable(self) -> Self {
        Self { writable: false, ..self }
    }
}

/// What the kernel says about a descriptor. It may say more than was wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Event {
    /// The descriptor's number.
    pub fd: i32,
    /// The reader, if there is one, should run.
    pub readable: bool,
    /// The writer, if there is one, should run.
    pub writable: bool,
}

/// The readers and writers of all watched descriptors.
#[derive(Debug)]
pub struct Watched<H> {
    /// The place is the descriptor's number. Invariant: never longer than `TABLE_LIMIT`.
    table: Vec<Watcher<H>>,
    /// Invariant: holds no number that belongs into the table, and no empty watcher.
    tree: BTreeMap<i32, Watcher<H>>,
    /// How many descriptors have a reader, a writer or both.
    count: usize,
}

#[derive(Debug)]
struct Watcher<H> {
    reader: Option<H>,
    writer: Option<H>,
}

/// Which of the two handles of a descriptor is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The one that reads.
    Reader,
    /// The one that writes.
    Writer,
}

impl<H> Watched<H> {
    /// An empty table, which has no memory of its own yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { table: Vec::new(), tree: BTreeMap::new(), count: 0 }
    }

    /// Makes `handle` the reader of a descriptor, and gives back the one it displaces.
    #[must_use = "the displaced reader is to be cancelled, and dropped with nothing borrowed"]
    pub fn set_reader(&mut self, fd: i32, handle: H) -> Option<H> {
        self.set(fd, Side::Reader, handle)
    }

    /// Makes `handle` the writer of a descriptor, and gives back the one it displaces.
    #[must_use = "the displaced writer is to be cancelled, and dropped with nothing borrowed"]
    pub fn set_writer(&mut self, fd: i32, handle: H) -> Option<H> {
        self.set(fd, Side::Writer, handle)
    }

    /// Takes the reader of a descriptor out.
    #[must_use = "the reader is to be cancelled, and dropped with nothing borrowed"]
    pub fn take_reader(&mut self, fd: i32) -> Option<H> {
        self.take(fd, Side::Reader)
    }

    /// Takes the writer of a descriptor out.
    #[must_use = "the writer is to be cancelled, and dropped with nothing borrowed"]
    pub fn take_writer(&mut self, fd: i32) -> Option<H> {
        self.take(fd, Side::Writer)
    }

    /// What is wanted of a descriptor, which is what the kernel should know.
    #[must_use]
    pub fn interest(&self, fd: i32) -> Interest {
        self.watcher(fd).map_or(Interest::NONE, Watcher::interest)
    }

    /// How many descriptors are watched.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether no descriptor is watched.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// All readers and writers, by descriptor.
    pub fn iter(&self) -> impl Iterator<Item = &H> {
        let watchers = self.table.iter().chain(self.tree.values());
        watchers.flat_map(|watcher| watcher.reader.iter().chain(&watcher.writer))
    }

    /// Gives out every handle.
    pub(crate) fn take_all(&mut self) -> impl Iterator<Item = H> {
        self.count = 0;
        let table = std::mem::take(&mut self.table);
        let tree = std::mem::take(&mut self.tree);
        let watchers = table.into_iter().chain(tree.into_values());
        watchers.flat_map(|watcher| watcher.reader.into_iter().chain(watcher.writer))
    }

    /// The handle of one side of a descriptor.
    #[inline]
    #[must_use]
    pub fn handle(&self, fd: i32, side: Side) -> Option<&H> {
        let watcher = self.watcher(fd)?;
        match side {
            Side::Reader => watcher.reader.as_ref(),
            Side::Writer => watcher.writer.as_ref(),
        }
    }

    /// Takes the handle of one side of a descriptor out.
    #[must_use = "the handle is to be cancelled, and dropped with nothing borrowed"]
    pub fn take(&mut self, fd: i32, side: Side) -> Option<H> {
        let watcher = match place(fd) {
            Some(place) => self.table.get_mut(place)?,
            None => self.tree.get_mut(&fd)?,
        };
        let taken = watcher.side(side).take()?;
        if watcher.is_empty() {
            self.count -= 1;
            if place(fd).is_none() {
                self.tree.remove(&fd);
            }
        }
        Some(taken)
    }

    /// Makes `handle` the one of a side of a descriptor, and gives back the one it displaces.
    #[must_use = "the displaced handle is to be cancelled, and dropped with nothing borrowed"]
    pub fn set(&mut self, fd: i32, side: Side, handle: H) -> Option<H> {
        let watcher = match place(fd) {
            Some(place) => {
                if place >= self.table.len() {
                    self.table.resize_with(place + 1, Watcher::empty);
                }
                &mut self.table[place]
            }
            None => self.tree.entry(fd).or_insert_with(Watcher::empty),
        };
        if watcher.is_empty() {
            self.count += 1;
        }
        watcher.side(side).replace(handle)
    }

    #[inline]
    fn watcher(&self, fd: i32) -> Option<&Watcher<H>> {
        match place(fd) {
            Some(place) => self.table.get(place),
            None => self.tree.get(&fd),
        }
    }
}

impl<H> Default for Watched<H> {
    fn default() -> Self {
        Self::new()
    }
}

impl<H> Watcher<H> {
    const fn empty() -> Self {
        Self { reader: None, writer: None }
    }

    const fn is_empty(&self) -> bool {
        self.reader.is_none() && self.writer.is_none()
    }

    const fn interest(&self) -> Interest {
        Interest { readable: self.reader.is_some(), writable: self.writer.is_some() }
    }

    const fn side(&mut self, side: Side) -> &mut Option<H> {
        match side {
            Side::Reader => &mut self.reader,
            Side::Writer => &mut self.writer,
        }
    }
}

/// The place of a descriptor in the table, unless its number is too large for one.
#[inline]
fn place(fd: i32) -> Option<usize> {
    usize::try_from(fd).ok().filter(|&place| place < TABLE_LIMIT)
}
