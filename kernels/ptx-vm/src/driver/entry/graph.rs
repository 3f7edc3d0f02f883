//! Graphs: what captures recorded, made ready, replayed.

use std::sync::Arc;

use super::pointer::{InOut, Out};
use crate::driver::capture::Executable;
use crate::driver::machine::{Machine, call, refuse};
use crate::driver::operation::Operation;
use crate::driver::state::State;
use crate::driver::status::{Answer, Status};
use crate::driver::table::Handle;
use crate::launch::Dimensions;

/// Launch from the device itself: needs a driver on the device.
const DEVICE_LAUNCH: u64 = 4;
/// Free what the graph allocated, upload, launch from the device, priorities of nodes.
const FLAGS: u64 = 15;

fn instantiate(machine: &Machine, graph: Handle, flags: u64) -> Answer<Handle> {
    let mut state = machine.lock();
    state.current()?;
    let made = state.graphs.get(graph)?;
    let (context, nodes) = (made.context, made.nodes.clone());
    match flags {
        _ if flags & !FLAGS != 0 => Err(Status::INVALID_VALUE),
        DEVICE_LAUNCH => Err(Status::NOT_SUPPORTED),
        _ if flags & DEVICE_LAUNCH != 0 => Err(Status::INVALID_VALUE),
        _ => Ok(state.executables.insert(Executable { context, nodes, last: Vec::new() })),
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphInstantiateWithFlags(
    executable: Out<Handle>,
    graph: Handle,
    flags: u64,
) -> Status {
    call(|machine| {
        if executable.is_null() {
            return Err(Status::INVALID_VALUE);
        }
        executable.set(instantiate(machine, graph, flags)?)
    })
}

/// The older form, with a log that stays empty.
#[unsafe(no_mangle)]
pub extern "C" fn cuGraphInstantiate_v2(
    executable: Out<Handle>,
    graph: Handle,
    error_node: Out<Handle>,
    log: Out<u8>,
    log_bytes: usize,
) -> Status {
    error_node.set_if_wanted(0);
    if log_bytes > 0 {
        log.set_if_wanted(0);
    }
    cuGraphInstantiateWithFlags(executable, graph, 0)
}

/// `CUDA_GRAPH_INSTANTIATE_PARAMS`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct InstantiateParameters {
    pub flags: u64,
    pub upload_stream: Handle,
    pub error_node: Handle,
    /// 0: success, 1: error.
    pub result: u32,
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphInstantiateWithParams(
    executable: Out<Handle>,
    graph: Handle,
    parameters: InOut<InstantiateParameters>,
) -> Status {
    call(|machine| {
        if executable.is_null() {
            return Err(Status::INVALID_VALUE);
        }
        let wanted = parameters.get()?;
        let made = instantiate(machine, graph, wanted.flags);
        let result = u32::from(made.is_err());
        parameters.set(InstantiateParameters { error_node: 0, result, ..wanted })?;
        executable.set(made?)
    })
}

/// Everything is where it has to be already.
#[unsafe(no_mangle)]
pub extern "C" fn cuGraphUpload(executable: Handle, stream: Handle) -> Status {
    call(|machine| {
        let mut state = machine.lock();
        let stream = state.stream(stream)?;
        state.executables.get(executable)?;
        match state.streams.get(stream)?.capture {
            Some(capture) => {
                state.invalidate(capture);
                Err(Status::STREAM_CAPTURE_UNSUPPORTED)
            }
            None => Ok(()),
        }
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphLaunch(executable: Handle, stream: Handle) -> Status {
    call(|machine| {
        let mut state = machine.lock();
        let stream = state.stream(stream)?;
        let last = state.place_graph(stream, executable)?;
        drop(state);
        machine.begin(&last)
    })
}

/// Work of it that waits still runs.
#[unsafe(no_mangle)]
pub extern "C" fn cuGraphExecDestroy(executable: Handle) -> Status {
    call(|machine| machine.lock().executables.remove(executable).map(|_| ()))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphDestroy(graph: Handle) -> Status {
    call(|machine| machine.lock().graphs.remove(graph).map(|_| ()))
}

/// With `nodes` null the number of nodes; else up to `count` of their handles.
#[unsafe(no_mangle)]
pub extern "C" fn cuGraphGetNodes(
    graph: Handle,
    nodes: Out<Handle>,
    count: InOut<usize>,
) -> Status {
    call(|machine| {
        let state = machine.lock();
        let handles = &state.graphs.get(graph)?.handles;
        if nodes.is_null() {
            return count.set(handles.len());
        }
        let room = count.get()?;
        let given: Vec<Handle> = (0..room).map(|i| handles.get(i).copied().unwrap_or(0)).collect();
        nodes.set_all(&given)?;
        count.set(room.min(handles.len()))
    })
}

/// The operation of a graph's node.
fn operation(state: &State, node: Handle) -> Answer<Operation> {
    let found = state.graphs.iter().find_map(|(_, graph)| {
        let at = graph.handles.iter().position(|&handle| handle == node)?;
        graph.nodes.get(at)
    });
    found.map(|node| node.operation.clone()).ok_or(Status::INVALID_HANDLE)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphNodeGetType(node: Handle, kind: Out<u32>) -> Status {
    call(|machine| {
        kind.set(match operation(&machine.lock(), node)? {
            Operation::Launch(_) => 0,
            Operation::Copy(_) => 1,
            Operation::Fill(_) => 2,
            Operation::Call(_) => 3,
            Operation::Record(_) => 7,
            Operation::Free(_) => 11,
        })
    })
}

/// `CUDA_KERNEL_NODE_PARAMS_v2`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct KernelNodeParameters {
    pub function: Handle,
    pub grid: [u32; 3],
    pub block: [u32; 3],
    pub dynamic_shared: u32,
    pub each: Handle,
    pub extra: Handle,
    pub kernel: Handle,
    pub context: Handle,
}

/// The arguments are not given: they are copies, and this driver has no room that would outlive the call.
#[unsafe(no_mangle)]
pub extern "C" fn cuGraphKernelNodeGetParams_v2(
    node: Handle,
    parameters: Out<KernelNodeParameters>,
) -> Status {
    call(|machine| {
        let state = machine.lock();
        let Operation::Launch(launch) = operation(&state, node)? else {
            return Err(Status::INVALID_VALUE);
        };
        let mut functions = state.functions.iter();
        let function = functions.find(|(_, f)| Arc::ptr_eq(&f.kernel, &launch.kernel));
        let (function, of) = function.ok_or(Status::INVALID_HANDLE)?;
        let Dimensions { grid, block, dynamic_shared } = launch.dimensions;
        let (each, extra, kernel, context) = (0, 0, 0, of.context);
        let given = KernelNodeParameters {
            function,
            grid,
            block,
            dynamic_shared,
            each,
            extra,
            kernel,
            context,
        };
        parameters.set(given)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGraphExecUpdate_v2(
    _executable: Handle,
    _graph: Handle,
    _result: Out<u8>,
) -> Status {
    call(|_| {
        let text = "cuGraphExecUpdate: capture and instantiate again instead";
        Err(refuse(Status::NOT_SUPPORTED, text))
    })
}
