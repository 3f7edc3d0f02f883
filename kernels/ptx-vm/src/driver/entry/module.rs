//! Modules: PTX texts, the functions and variables in them.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{CString, c_char};
use std::sync::Arc;

use super::pointer::{In, InOut, Name, Out};
use crate::driver::load::load_for;
use crate::driver::machine::{Machine, call, refuse};
use crate::driver::state::{Allocation, Function, Module};
use crate::driver::status::{Answer, Status};
use crate::driver::table::Handle;
use crate::module;

/// `CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES`, `CU_JIT_ERROR_LOG_BUFFER` and its size.
const INFO_SIZE: u32 = 4;
const ERROR_LOG: u32 = 5;
const ERROR_SIZE: u32 = 6;

/// Bytes that a compiled image begins with: an ELF file, a fat binary, and the record that points to one.
const COMPILED: [&[u8]; 3] = [b"\x7fELF", b"\x50\xed\x55\xba", b"\xb1\x43\x62\x46"];

/// Loads a text and enters it.
fn load_text(machine: &Machine, text: &[u8]) -> Result<Handle, (Status, String)> {
    let context = machine.lock().current().map_err(|status| (status, String::new()))?;
    let text = std::str::from_utf8(text)
        .map_err(|error| (Status::INVALID_IMAGE, format!("module: no PTX text ({error})")))?;
    let program = load_for(&machine.target, text, &machine.memory)
        .map_err(|error| (Status::INVALID_PTX, format!("module: {error}")))?;
    let mut state = machine.lock();
    for variable in &program.variables {
        let bytes = variable.bytes.max(1);
        state.allocations.insert(variable.address, Allocation { context, bytes, going: false });
        state.used += bytes;
    }
    let (program, functions) = (Arc::new(program), HashMap::new());
    Ok(state.modules.insert(Module { context, program, functions }))
}

/// The options a caller gave: each with its value, a number or an address.
struct JitOptions {
    keys: Vec<u32>,
    values: InOut<usize>,
}

impl JitOptions {
    /// Value of an option, and where it stands.
    fn find(&self, key: u32) -> Option<(usize, usize)> {
        let at = self.keys.iter().position(|&k| k == key)?;
        Some((at, self.values.at(at).ok()?))
    }

    /// Writes the caller's error log and its length.
    fn log(&self, text: &str) {
        if let (Some((_, log)), Some((at, size))) = (self.find(ERROR_LOG), self.find(ERROR_SIZE)) {
            let length = text.len().min((size as u32 as usize).saturating_sub(1));
            let mut bytes = text.as_bytes()[..length].to_vec();
            bytes.push(0);
            if size as u32 > 0 {
                // SAFETY: the options promise a buffer of that size there, or null.
                let _ = unsafe { Out::new(log as *mut u8) }.set_all(&bytes);
            }
            let _ = self.values.set_at(at, length);
        }
        if let Some((at, _)) = self.find(INFO_SIZE) {
            let _ = self.values.set_at(at, 0);
        }
    }
}

fn load_image(module: Out<Handle>, image: Name, options: &JitOptions) -> Status {
    call(|machine| {
        if module.is_null() {
            return Err(Status::INVALID_VALUE);
        }
        let text = image.bytes()?;
        let loaded = match COMPILED.iter().any(|start| text.starts_with(start)) {
            true => {
                let text =
                    "module: a compiled image (cubin or fat binary); this machine runs PTX texts";
                Err((Status::NO_BINARY_FOR_GPU, text.to_owned()))
            }
            false => load_text(machine, text),
        };
        match loaded {
            Ok(handle) => {
                options.log("");
                module.set(handle)
            }
            Err((status, message)) if message.is_empty() => Err(status),
            Err((status, message)) => {
                options.log(&message);
                Err(refuse(status, &message))
            }
        }
    })
}

/// No options.
fn plain() -> JitOptions {
    // SAFETY: null is a place nobody writes to.
    JitOptions { keys: Vec::new(), values: unsafe { InOut::new(std::ptr::null_mut()) } }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuModuleLoadData(module: Out<Handle>, image: Name) -> Status {
    load_image(module, image, &plain())
}

#[unsafe(no_mangle)]
pub extern "C" fn cuModuleLoadDataEx(
    module: Out<Handle>,
    image: Name,
    count: u32,
    keys: In<u32>,
    values: InOut<usize>,
) -> Status {
    let options = keys.many(count as usize).and_then(|keys| {
        values.at_least(count as usize)?;
        Ok(JitOptions { keys, values })
    });
    match options {
        Ok(options) => load_image(module, image, &options),
        Err(status) => status,
    }
}

/// A fat binary has no length this side of its own tables; this machine never follows them.
#[unsafe(no_mangle)]
pub extern "C" fn cuModuleLoadFatBinary(_module: Out<Handle>, _image: In<u8>) -> Status {
    call(|_| {
        let text = "cuModuleLoadFatBinary: this machine runs PTX texts";
        Err(refuse(Status::NO_BINARY_FOR_GPU, text))
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuModuleLoad(module: Out<Handle>, path: Name) -> Status {
    let read = || -> Answer<CString> {
        let path = path.text()?;
        let bytes = std::fs::read(path)
            .map_err(|error| refuse(Status::FILE_NOT_FOUND, &format!("module {path}: {error}")))?;
        let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
        CString::new(&bytes[..end]).map_err(|_| Status::INVALID_IMAGE)
    };
    match read() {
        // SAFETY: the text lives until the call returns.
        Ok(text) => load_image(module, unsafe { Name::new(text.as_ptr()) }, &plain()),
        Err(status) => status,
    }
}

/// Everything that was asked for before runs first: it may use the module's variables.
#[unsafe(no_mangle)]
pub extern "C" fn cuModuleUnload(module: Handle) -> Status {
    call(|machine| {
        let state = machine.lock();
        state.current()?;
        state.modules.get(module)?;
        drop(state);
        let earlier = machine.finish_all();
        let mut state = machine.lock();
        let gone = state.modules.remove(module)?;
        state.functions.retain(|_, function| function.module != module);
        for variable in &gone.program.variables {
            state.forget_allocation(variable.address);
        }
        drop(state);
        module::unload(&gone.program, &machine.memory);
        earlier
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuModuleGetFunction(function: Out<Handle>, module: Handle, name: Name) -> Status {
    call(|machine| {
        let name = name.text()?;
        let mut state = machine.lock();
        state.current()?;
        let found = state.modules.get(module)?;
        if let Some(&handle) = found.functions.get(name) {
            return function.set(handle);
        }
        let kernel = found.program.kernels.get(name).ok_or(Status::NOT_FOUND)?.clone();
        let made = Function {
            context: found.context,
            module,
            name: CString::new(name).map_err(|_| Status::INVALID_VALUE)?,
            program: found.program.clone(),
            most_dynamic_shared: machine.target.shared_default.saturating_sub(kernel.shared_bytes),
            kernel,
            attributes: BTreeMap::new(),
        };
        let handle = state.functions.insert(made);
        state.modules.get_mut(module)?.functions.insert(name.to_owned(), handle);
        function.set(handle)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuModuleGetFunctionCount(count: Out<u32>, module: Handle) -> Status {
    call(|machine| count.set(machine.lock().modules.get(module)?.program.kernels.len() as u32))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuModuleGetGlobal_v2(
    address: Out<u64>,
    bytes: Out<usize>,
    module: Handle,
    name: Name,
) -> Status {
    call(|machine| {
        let name = name.text()?;
        let state = machine.lock();
        state.current()?;
        let variables = &state.modules.get(module)?.program.variables;
        let found = variables.iter().find(|v| v.name == name).ok_or(Status::NOT_FOUND)?;
        address.set_if_wanted(found.address);
        bytes.set_if_wanted(found.bytes as usize);
        Ok(())
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuModuleGetLoadingMode(mode: Out<u32>) -> Status {
    call(|_| mode.set(1))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuFuncGetModule(module: Out<Handle>, function: Handle) -> Status {
    call(|machine| module.set(machine.lock().functions.get(function)?.module))
}

/// The name lives as long as the function.
#[unsafe(no_mangle)]
pub extern "C" fn cuFuncGetName(name: Out<In<c_char>>, function: Handle) -> Status {
    call(|machine| {
        let state = machine.lock();
        let text = state.functions.get(function)?.name.as_ptr();
        // SAFETY: a string with a zero at its end; a `CString`'s bytes do not move with it.
        name.set(unsafe { In::new(text) })
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuFuncGetParamInfo(
    function: Handle,
    index: usize,
    offset: Out<usize>,
    bytes: Out<usize>,
) -> Status {
    call(|machine| {
        let state = machine.lock();
        let parameters = &state.functions.get(function)?.kernel.parameters;
        let &(at, size) = parameters.get(index).ok_or(Status::INVALID_VALUE)?;
        offset.set(at as usize)?;
        bytes.set_if_wanted(size as usize);
        Ok(())
    })
}
