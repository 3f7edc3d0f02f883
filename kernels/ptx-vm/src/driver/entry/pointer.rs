//! What a C caller passes: places to write to and to read from, checked for null before they are used.

use std::ffi::{CStr, c_char};

use crate::driver::status::{Answer, Status};

/// A place for a result, or null.
#[derive(Debug, Clone, Copy)]
#[repr(transparent)]
pub struct Out<T>(*mut T);

impl<T> Out<T> {
    /// # Safety
    /// Null, or valid for writes of as many values as the function it is given to writes, until that returns.
    pub unsafe fn new(pointer: *mut T) -> Self {
        Self(pointer)
    }

    /// # Errors
    /// `INVALID_VALUE`: null.
    pub fn set(self, value: T) -> Answer {
        match self.0.is_null() {
            true => Err(Status::INVALID_VALUE),
            // SAFETY: not null, so valid for a write by the caller's promise.
            false => {
                unsafe { self.0.write_unaligned(value) };
                Ok(())
            }
        }
    }

    /// For results the caller may not want.
    pub fn set_if_wanted(self, value: T) {
        let _ = self.set(value);
    }

    pub fn is_null(self) -> bool {
        self.0.is_null()
    }

    /// Writes values one behind the other.
    ///
    /// # Errors
    /// `INVALID_VALUE`: null.
    pub fn set_all(self, values: &[T]) -> Answer
    where
        T: Copy,
    {
        if self.0.is_null() {
            return Err(Status::INVALID_VALUE);
        }
        for (i, value) in values.iter().enumerate() {
            // SAFETY: valid for that many writes by the caller's promise.
            unsafe { self.0.add(i).write_unaligned(*value) };
        }
        Ok(())
    }

    pub fn address(self) -> usize {
        self.0 as usize
    }

    /// The same place for values of another type.
    pub fn cast<U>(self) -> Out<U> {
        Out(self.0.cast())
    }
}

/// A place to read from, or null.
#[derive(Debug, Clone, Copy)]
#[repr(transparent)]
pub struct In<T>(*const T);

impl<T: Copy> In<T> {
    /// # Safety
    /// Null, or valid for reads of as many values as the function it is given to reads, until that returns.
    pub unsafe fn new(pointer: *const T) -> Self {
        Self(pointer)
    }

    pub fn is_null(self) -> bool {
        self.0.is_null()
    }

    pub fn address(self) -> usize {
        self.0 as usize
    }

    /// # Errors
    /// `INVALID_VALUE`: null.
    pub fn get(self) -> Answer<T> {
        self.at(0)
    }

    /// The value at an index.
    ///
    /// # Errors
    /// `INVALID_VALUE`: null.
    pub fn at(self, index: usize) -> Answer<T> {
        match self.0.is_null() {
            true => Err(Status::INVALID_VALUE),
            // SAFETY: valid for that many reads by the caller's promise.
            false => Ok(unsafe { self.0.add(index).read_unaligned() }),
        }
    }

    /// The first `count` values.
    ///
    /// # Errors
    /// `INVALID_VALUE`: null although there are some.
    pub fn many(self, count: usize) -> Answer<Vec<T>> {
        (0..count).map(|i| self.at(i)).collect()
    }
}

/// A place to read from and then write to, or null.
#[derive(Debug, Clone, Copy)]
#[repr(transparent)]
pub struct InOut<T>(*mut T);

impl<T: Copy> InOut<T> {
    /// # Safety
    /// Null, or valid for reads and writes until the function it is given to returns.
    pub unsafe fn new(pointer: *mut T) -> Self {
        Self(pointer)
    }

    /// # Errors
    /// `INVALID_VALUE`: null.
    pub fn get(self) -> Answer<T> {
        In(self.0.cast_const()).get()
    }

    /// # Errors
    /// `INVALID_VALUE`: null.
    pub fn set(self, value: T) -> Answer {
        Out(self.0).set(value)
    }

    /// # Errors
    /// `INVALID_VALUE`: null.
    pub fn at(self, index: usize) -> Answer<T> {
        In(self.0.cast_const()).at(index)
    }

    /// # Errors
    /// `INVALID_VALUE`: null.
    pub fn set_at(self, index: usize, value: T) -> Answer {
        match self.0.is_null() {
            true => Err(Status::INVALID_VALUE),
            // SAFETY: valid for that many writes by the caller's promise.
            false => {
                unsafe { self.0.add(index).write_unaligned(value) };
                Ok(())
            }
        }
    }

    /// # Errors
    /// `INVALID_VALUE`: null although there are values.
    pub fn at_least(self, count: usize) -> Answer {
        if count > 0 && self.0.is_null() { Err(Status::INVALID_VALUE) } else { Ok(()) }
    }

    /// The same place for values of another type.
    pub fn cast<U>(self) -> InOut<U> {
        InOut(self.0.cast())
    }
}

/// A C string, or null.
#[derive(Debug, Clone, Copy)]
#[repr(transparent)]
pub struct Name(*const c_char);

impl Name {
    /// # Safety
    /// Null, or a string with a zero at its end that lives until the function it is given to returns.
    pub unsafe fn new(pointer: *const c_char) -> Self {
        Self(pointer)
    }

    /// # Errors
    /// `INVALID_VALUE`: null.
    pub fn bytes(&self) -> Answer<&[u8]> {
        match self.0.is_null() {
            true => Err(Status::INVALID_VALUE),
            // SAFETY: a string with a zero at its end by the caller's promise.
            false => Ok(unsafe { CStr::from_ptr(self.0) }.to_bytes()),
        }
    }

    /// # Errors
    /// `INVALID_VALUE`: null or no UTF-8.
    pub fn text(&self) -> Answer<&str> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Status::INVALID_VALUE)
    }
}
