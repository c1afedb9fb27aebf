fn main() -> std::process::ExitCode {
    callahead::run()
}
