use netshm::ShmData;

#[derive(ShmData)]
#[repr(C, packed)]
struct Header {
    kind: u8,
    length: u32,
}

fn main() {}
