fn main() -> std::process::ExitCode {
    lineagent::run()
}
