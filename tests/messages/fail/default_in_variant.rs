use netshm::ShmData;

#[derive(ShmData)]
enum Shape {
    Circle {
        radius: f64,
        #[shm(default = 1.0)]
        scale: f64,
    },
}

fn main() {}
