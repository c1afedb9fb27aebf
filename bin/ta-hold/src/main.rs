fn main() -> std::process::ExitCode {
    hold::run()
}
