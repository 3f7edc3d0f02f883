//! Handles: numbers in tables, never pointers, never given twice; so a stale or invented one is told, not followed.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::driver::status::{Answer, Status};

/// What the driver's caller holds in place of an object. 0, 1 and 2 mean something to streams and are never given.
pub type Handle = usize;

static NEXT: AtomicUsize = AtomicUsize::new(0x1000);

/// A handle nobody has.
pub fn new_handle() -> Handle {
    NEXT.fetch_add(16, Ordering::Relaxed)
}

/// Objects of one kind by their handles.
#[derive(Debug)]
pub struct Table<T> {
    rows: BTreeMap<Handle, T>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { rows: BTreeMap::new() }
    }
}

impl<T> Table<T> {
    pub fn insert(&mut self, object: T) -> Handle {
        let handle = new_handle();
        self.rows.insert(handle, object);
        handle
    }

    /// # Errors
    /// `INVALID_HANDLE`: no such object, or none any more.
    pub fn get(&self, handle: Handle) -> Answer<&T> {
        self.rows.get(&handle).ok_or(Status::INVALID_HANDLE)
    }

    /// # Errors
    /// As [`Table::get`].
    pub fn get_mut(&mut self, handle: Handle) -> Answer<&mut T> {
        self.rows.get_mut(&handle).ok_or(Status::INVALID_HANDLE)
    }

    /// # Errors
    /// As [`Table::get`].
    pub fn remove(&mut self, handle: Handle) -> Answer<T> {
        self.rows.remove(&handle).ok_or(Status::INVALID_HANDLE)
    }

    pub fn contains(&self, handle: Handle) -> bool {
        self.rows.contains_key(&handle)
    }

    pub fn iter(&self) -> impl Iterator<Item = (Handle, &T)> {
        self.rows.iter().map(|(&handle, object)| (handle, object))
    }

    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.rows.values_mut()
    }

    pub fn retain(&mut self, mut keep: impl FnMut(Handle, &T) -> bool) {
        self.rows.retain(|&handle, object| keep(handle, object));
    }
}
