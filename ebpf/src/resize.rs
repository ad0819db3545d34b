//! Making a frame as long as its reply.

use aya_ebpf::helpers::generated::{bpf_xdp_adjust_head, bpf_xdp_adjust_tail};
use aya_ebpf::programs::XdpContext;

/// How a frame was resized, and so how that is undone.
#[derive(Clone, Copy)]
pub(crate) enum Resized {
    /// Its start was moved by so much.
    Head(i32),
    /// Its end was moved by so much.
    Tail(i32),
}

/// Makes the frame longer by `growth` bytes, or shorter; where that fails it is as it was.
///
/// The front is moved, because there is room before it under every driver; the end is the second try.
/// Neither way loses a byte of the frame before it is undone: what a shorter one leaves out stays
/// where it was, unless metadata is moved over it, and with metadata it is left alone.
#[inline(always)]
pub(crate) fn resize(ctx: &XdpContext, growth: i32) -> Option<Resized> {
    let back = growth.wrapping_neg();
    if growth < 0 && ctx.metadata() != ctx.data() {
        return None;
    }
    // SAFETY: the context is the kernel's; packet pointers are made anew after this.
    if unsafe { bpf_xdp_adjust_head(ctx.ctx, back) } == 0 {
        return Some(Resized::Head(back));
    }
    // SAFETY: as above.
    if growth > 0 && unsafe { bpf_xdp_adjust_tail(ctx.ctx, growth) } == 0 {
        return Some(Resized::Tail(growth));
    }
    None
}

/// Puts the frame back as it was before [`resize`]; whether that went well.
#[inline(always)]
pub(crate) fn undo(ctx: &XdpContext, resized: Resized) -> bool {
    // SAFETY: as above.
    0 == unsafe {
        match resized {
            Resized::Head(moved) => bpf_xdp_adjust_head(ctx.ctx, moved.wrapping_neg()),
            Resized::Tail(moved) => bpf_xdp_adjust_tail(ctx.ctx, moved.wrapping_neg()),
        }
    }
}
