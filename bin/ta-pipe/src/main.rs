fn main() -> std::process::ExitCode {
    pipe::run()
}
