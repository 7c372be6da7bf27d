//! Walks through the blocks of a key's bindings.

use netshm::Flow;
use netshm_tests::{AnyValue, Shape};

/// Position of a walk through the blocks of a key, in the model.
pub(super) struct Cursor<'a, V> {
    stack: &'a mut Vec<V>,
    /// Bindings that are still to come, this one included.
    left: usize,
    /// Start of the block in the binding; its end follows.
    start: usize,
    end: usize,
    ends_binding: bool,
    flows: std::iter::Cycle<std::slice::Iter<'a, Flow>>,
    broken: bool,
    block_limit: usize,
}

impl<'a, V: AnyValue> Cursor<'a, V> {
    /// Returns the position before the newest binding.
    pub(super) fn new(stack: &'a mut Vec<V>, flows: &'a [Flow], shape: Shape) -> Self {
        let left = stack.len();
        let flows = flows.iter().cycle();
        let block_limit = shape.pagesize as usize / 4;
        Cursor { stack, left, start: 0, end: 0, ends_binding: false, flows, broken: false, block_limit }
    }

    fn binding(&mut self) -> &mut Vec<i32> {
        self.stack[self.left - 1].elements().expect("a value of the primitive table")
    }

    /// Checks the content of the next block.
    pub(super) fn block(&mut self, content: &[i32], ends_binding: bool) {
        assert!(!self.broken && self.left > 0, "a block after the last one");
        (self.start, self.end, self.ends_binding) = (self.end, self.end + content.len(), ends_binding);
        assert!(content.len() <= self.block_limit);
        let (start, end) = (self.start, self.end);
        let binding = self.binding();
        assert_eq!(binding.get(start..end), Some(content));
        assert_eq!(ends_binding, end == binding.len());
        assert!(!content.is_empty() || binding.is_empty());
    }

    /// Changes an element of the block.
    pub(super) fn set(&mut self, element: usize, value: i32) {
        let at = self.start + element;
        self.binding()[at] = value;
    }

    /// Returns how to go on, from the list.
    pub(super) fn flow(&mut self, writing: bool) -> Flow {
        let flow = *self.flows.next().unwrap_or(&Flow::Next);
        match flow {
            Flow::Next if !self.ends_binding => return flow,
            Flow::Break => {
                self.broken = true;
                return flow;
            }
            Flow::Remove if writing => drop(self.stack.remove(self.left - 1)),
            Flow::Next | Flow::NextBinding | Flow::Remove => {}
        }
        self.left -= 1;
        self.end = 0;
        flow
    }

    /// Checks that there are no more blocks.
    pub(super) fn end(&self) {
        assert!(self.broken || self.left == 0, "{} bindings were not shown", self.left);
    }
}
