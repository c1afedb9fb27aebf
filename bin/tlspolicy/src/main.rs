fn main() -> std::process::ExitCode {
    tlspolicy::run()
}
