//! Functions by name.

use std::ffi::c_void;

use super::*;
use crate::driver::machine::guarded;
use crate::driver::status::{Answer, Status};

/// Pairs every name with the function of that name.
macro_rules! procedures {
    ($($name:ident)*) => {
        &[$((stringify!($name), || $name as *const c_void)),*]
    };
}

/// A name and where its function is.
type Procedure = (&'static str, fn() -> *const c_void);

/// Every exported function of the driver.
const PROCEDURES: &[Procedure] = procedures! {
    cuCtxCreate_v2 cuCtxCreate_v3 cuCtxCreate_v4 cuCtxDestroy_v2 cuCtxEnablePeerAccess
    cuCtxGetApiVersion cuCtxGetCacheConfig cuCtxGetCurrent cuCtxGetDevice cuCtxGetFlags
    cuCtxGetLimit cuCtxGetStreamPriorityRange cuCtxPopCurrent_v2 cuCtxPushCurrent_v2
    cuCtxSetCacheConfig cuCtxSetCurrent cuCtxSetFlags cuCtxSetLimit cuCtxSynchronize
    cuDestroyExternalMemory cuDeviceCanAccessPeer cuDeviceComputeCapability cuDeviceGet
    cuDeviceGetAttribute cuDeviceGetCount cuDeviceGetDefaultMemPool cuDeviceGetMemPool
    cuDeviceGetName cuDeviceGetPCIBusId cuDeviceGetUuid cuDeviceGetUuid_v2
    cuDevicePrimaryCtxGetState cuDevicePrimaryCtxRelease_v2 cuDevicePrimaryCtxReset_v2
    cuDevicePrimaryCtxRetain cuDevicePrimaryCtxSetFlags_v2 cuDeviceSetMemPool cuDeviceTotalMem_v2
    cuDriverGetVersion cuEventCreate cuEventDestroy_v2 cuEventElapsedTime cuEventElapsedTime_v2
    cuEventQuery cuEventRecord cuEventRecordWithFlags cuEventSynchronize
    cuExternalMemoryGetMappedBuffer cuFuncGetAttribute cuFuncGetModule cuFuncGetName
    cuFuncGetParamInfo cuFuncSetAttribute cuFuncSetCacheConfig cuFuncSetSharedMemConfig
    cuGetErrorName cuGetErrorString cuGetProcAddress cuGetProcAddress_v2 cuGraphDestroy
    cuGraphExecDestroy cuGraphExecUpdate_v2 cuGraphGetNodes cuGraphInstantiateWithFlags
    cuGraphInstantiateWithParams cuGraphInstantiate_v2 cuGraphKernelNodeGetParams_v2 cuGraphLaunch
    cuGraphNodeGetType cuGraphUpload
    cuImportExternalMemory cuInit cuLaunchCooperativeKernel cuLaunchHostFunc cuLaunchKernel
    cuLaunchKernelEx cuMemAdvise_v2 cuMemAllocAsync cuMemAllocFromPoolAsync cuMemAllocHost_v2
    cuMemAllocManaged cuMemAllocPitch_v2 cuMemAlloc_v2 cuMemFreeAsync cuMemFreeHost cuMemFree_v2
    cuMemGetAddressRange_v2 cuMemGetInfo_v2 cuMemHostAlloc cuMemHostGetDevicePointer_v2
    cuMemHostGetFlags cuMemHostRegister_v2 cuMemHostUnregister cuMemPoolCreate cuMemPoolDestroy
    cuMemPoolGetAttribute cuMemPoolSetAttribute cuMemPoolTrimTo cuMemPrefetchAsync_v2 cuMemcpy
    cuMemcpy2DAsync_v2 cuMemcpy2DUnaligned_v2 cuMemcpy2D_v2 cuMemcpyAsync cuMemcpyDtoDAsync_v2
    cuMemcpyDtoD_v2 cuMemcpyDtoHAsync_v2 cuMemcpyDtoH_v2 cuMemcpyHtoDAsync_v2 cuMemcpyHtoD_v2
    cuMemcpyPeerAsync cuMemsetD16Async cuMemsetD16_v2 cuMemsetD2D16Async cuMemsetD2D16_v2
    cuMemsetD2D32Async cuMemsetD2D32_v2 cuMemsetD2D8Async cuMemsetD2D8_v2 cuMemsetD32Async
    cuMemsetD32_v2 cuMemsetD8Async cuMemsetD8_v2 cuModuleGetFunction cuModuleGetFunctionCount
    cuModuleGetGlobal_v2 cuModuleGetLoadingMode cuModuleLoad cuModuleLoadData cuModuleLoadDataEx
    cuModuleLoadFatBinary cuModuleUnload cuOccupancyAvailableDynamicSMemPerBlock
    cuOccupancyMaxActiveBlocksPerMultiprocessor cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags
    cuOccupancyMaxActiveClusters cuOccupancyMaxPotentialBlockSize
    cuOccupancyMaxPotentialBlockSizeWithFlags cuOccupancyMaxPotentialClusterSize
    cuPointerGetAttribute cuPointerGetAttributes cuProfilerStart cuProfilerStop
    cuStreamAttachMemAsync cuStreamBeginCapture_v2 cuStreamCreate cuStreamCreateWithPriority
    cuStreamDestroy_v2 cuStreamEndCapture cuStreamGetCaptureInfo cuStreamGetCaptureInfo_v2
    cuStreamGetCtx cuStreamGetFlags cuStreamGetId cuStreamGetPriority cuStreamIsCapturing
    cuStreamQuery cuStreamSynchronize cuStreamWaitEvent cuTensorMapEncodeTiled
    cuTensorMapReplaceAddress cuThreadExchangeStreamCaptureMode
};

/// Names and addresses of all exported functions of the driver.
pub fn procedures() -> impl Iterator<Item = (&'static str, *const c_void)> {
    PROCEDURES.iter().map(|(name, procedure)| (*name, procedure()))
}

/// The function a name stands for. Callers leave `_v2` away and mean it where there is one, as `cuda.h` does.
fn find(name: &str) -> Option<*const c_void> {
    let by_name = |name: &str| PROCEDURES.iter().find(|(n, _)| *n == name);
    let found = match name {
        "cuGraphInstantiate" => by_name("cuGraphInstantiateWithFlags"),
        _ => by_name(&format!("{name}_v2")).or_else(|| by_name(name)),
    };
    found.map(|(_, procedure)| procedure())
}

/// `CU_GET_PROC_ADDRESS_SUCCESS` and `_SYMBOL_NOT_FOUND`.
const FOUND: u32 = 0;
const MISSING: u32 = 1;

fn look_up(name: Name, place: Out<*const c_void>, status: Out<u32>) -> Answer {
    let found = find(name.text()?);
    status.set_if_wanted(if found.is_some() { FOUND } else { MISSING });
    place.set(found.unwrap_or(std::ptr::null()))?;
    found.map(|_| ()).ok_or(Status::NOT_FOUND)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGetProcAddress(
    name: Name,
    place: Out<*const c_void>,
    _version: i32,
    _flags: u64,
) -> Status {
    // SAFETY: null is a place for a result that nobody wants.
    guarded(|| look_up(name, place, unsafe { Out::new(std::ptr::null_mut()) }))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuGetProcAddress_v2(
    name: Name,
    place: Out<*const c_void>,
    _version: i32,
    _flags: u64,
    status: Out<u32>,
) -> Status {
    guarded(|| look_up(name, place, status))
}
