//! Image patches on a device: one kernel in each direction.

use arrayvec::ArrayVec;

use super::ImagePatches;
use crate::cuda::arguments::{Arguments, Layout};
use crate::cuda::kernels::Kernel;
use crate::cuda::precision::Precision;
use crate::error::{Error, Result};
use crate::op::contract::{MAX_INPUTS, Operation, TensorType};
use crate::op::device::{CudaBackward, CudaForward, OnCuda, Workspace};

/// Bytes of a block's tile.
const TILE: usize = 16 << 10;

impl OnCuda for ImagePatches {
    fn parameters(&self) -> ArrayVec<usize, MAX_INPUTS> {
        ArrayVec::new()
    }

    fn workspace(&self, _: &[&TensorType], _: Precision) -> Workspace {
        Workspace::default()
    }

    fn forward(&self, pass: &CudaForward<'_>) -> Result<()> {
        let kernel = match pass.precision {
            Precision::F32 => Kernel::ImagePatchesForwardF32,
            Precision::Bf16 => Kernel::ImagePatchesForwardBf16,
        };
        let (sizes, layout) = self.tiles(pass.types[0], pass.precision)?;
        let arguments = Arguments::new().pointer(pass.inputs[0].working).pointer(pass.out);
        let arguments = sizes.into_iter().fold(arguments, Arguments::count);
        pass.device.launch(kernel, layout, &arguments)
    }

    fn backward(&self, pass: &CudaBackward<'_>) -> Result<()> {
        let Some(dimage) = pass.dinputs[0] else { return Ok(()) };
        let kernel = match pass.precision {
            Precision::F32 => Kernel::ImagePatchesBackwardF32,
            Precision::Bf16 => Kernel::ImagePatchesBackwardBf16,
        };
        let (sizes, layout) = self.tiles(pass.types[0], pass.precision)?;
        let arguments = Arguments::new().pointer(pass.dout).pointer(dimage.values);
        let arguments = sizes.into_iter().fold(arguments, Arguments::count);
        let arguments = arguments.count(usize::from(dimage.write.adds()));
        pass.device.launch(kernel, layout, &arguments)
    }
}

impl ImagePatches {
    /// Extents of a picture, the patch, and the most patches and lines of them that a block has: as many
    /// as its tile holds, whole patches first. And the launch.
    fn tiles(&self, image: &TensorType, precision: Precision) -> Result<([usize; 6], Layout)> {
        let &[batch, channels, height, width] = image.shape.extents() else {
            unreachable!("the signature has checked it")
        };
        let (patch, room) = (self.patch, TILE / precision.bytes());
        if patch > TILE / Precision::F32.bytes() {
            let message = format!("patches of {patch} pixels a side are too large for a device");
            return Err(Error::usage(message).at(self.name()));
        }
        let (across, lines) = (width / patch, channels * patch);
        let lines_most = lines.min(room / patch);
        let patches_most = across.div_ceil(across.div_ceil(room / (lines_most * patch)));
        let blocks = across.div_ceil(patches_most) * lines.div_ceil(lines_most);
        let sizes = [channels, height, width, patch, patches_most, lines_most];
        Ok((sizes, Layout::row(batch * (height / patch) * blocks, 256)))
    }
}
