fn main() -> std::process::ExitCode {
    contentfilter::run()
}
