using System.Text.Json;
using Paravane.Peers;

namespace Paravane.EndToEnd.Processes;

/// <summary>What the back-ends say about themselves, and how they refuse what they cannot do.</summary>
public sealed class OptionTests : IDisposable
{
    private static readonly string[] s_common =
        ["--socket-path", "--fd", "--client", "--print-capabilities", "--poll", "--cpus", "--log-level", "--config", "--help", "--version"];
    private static readonly string[] s_block =
        ["--blk-file", "--blk-ram", "--blk-null", "--read-only", "--num-queues", "--queue-size", "--serial", "--logical-block-size", "--direct", "--workers", "--pin-memory"];
    private static readonly string[] s_net = ["--net", "--queue-pairs", "--queue-size", "--mac", "--mtu", "--frame-size", "--workers"];

    private readonly TemporaryDirectory _scratch = TemporaryDirectory.Create();

    private string SocketPath => _scratch.File("socket");

    public void Dispose() => _scratch.Dispose();

    [Theory, InlineData("paravane-blk", "block", "blk-file,read-only"), InlineData("paravane-net", "net", "")]
    public void Capabilities_are_JSON_that_a_management_layer_can_read(string program, string type, string features)
    {
        (int code, string output, _) = BackEndProgram.Run(program, "--print-capabilities");
        Assert.Equal(0, code);
        using var json = JsonDocument.Parse(output);
        Assert.Equal(type, json.RootElement.GetProperty("type").GetString());
        string?[] listed = [.. json.RootElement.GetProperty("features").EnumerateArray().Select(item => item.GetString())];
        Assert.All(features.Split(',', StringSplitOptions.RemoveEmptyEntries), feature => Assert.Contains(feature, listed));
    }

    [Theory, InlineData("paravane-blk"), InlineData("paravane-net")]
    public void Help_lists_every_option_with_its_default_and_an_example(string program)
    {
        (int code, string output, _) = BackEndProgram.Run(program, "--help");
        Assert.Equal(0, code);
        string[] options = [.. s_common, .. program == "paravane-blk" ? s_block : s_net];
        foreach (string option in options)
        {
            int start = output.IndexOf($"\n  {option}", StringComparison.Ordinal);
            Assert.True(start >= 0, $"{option} is not in:\n{output}");
            int end = output.IndexOf("\n  --", start + 1, StringComparison.Ordinal);
            string entry = end < 0 ? output[start..] : output[start..end];
            Assert.Contains("Default:", entry, StringComparison.Ordinal);
            Assert.Contains("Example:", entry, StringComparison.Ordinal);
        }
    }

    [Theory, InlineData("paravane-blk"), InlineData("paravane-net"), InlineData("paravane")]
    public void Version_is_one_line_with_the_name(string program)
    {
        (int code, string output, _) = BackEndProgram.Run(program, "--version");
        Assert.Equal(0, code);
        Assert.Matches(@"^(paravane\S* )?\d+\.\d+\.\d+\S*\n$", output);
    }

    [Theory]
    [InlineData("paravane-blk", "--blk-ram=1M --colour=red", "--colour")]
    [InlineData("paravane-blk", "", "--blk-file")]
    [InlineData("paravane-blk", "--blk-ram=1M --blk-null=1M", "--blk-null")]
    [InlineData("paravane-blk", "--blk-ram=lots", "--blk-ram")]
    [InlineData("paravane-blk", "--blk-ram=1M --logical-block-size=700", "--logical-block-size")]
    [InlineData("paravane-blk", "--blk-ram=1M --num-queues=0", "--num-queues")]
    [InlineData("paravane-blk", "--blk-ram=1M --queue-size=1000000", "--queue-size")]
    [InlineData("paravane-blk", "--blk-ram=1M --direct=maybe", "--direct")]
    [InlineData("paravane-blk", "--blk-ram=1M --serial=a-serial-number-of-over-twenty-bytes", "--serial")]
    [InlineData("paravane-blk", "--blk-ram=1M --poll=often", "--poll")]
    [InlineData("paravane-blk", "--blk-ram=1M --cpus=two", "--cpus")]
    [InlineData("paravane-blk", "--blk-ram=1M --fd=3", "--fd")]
    [InlineData("paravane-blk", "--blk-ram=1M --read-only=maybe", "--read-only=maybe: give it alone, or on or off")]
    [InlineData("paravane-blk", "--blk-ram=1M --read-only=", "--read-only=: give it alone, or on or off")]
    [InlineData("paravane-blk", "--blk-ram=1M --read-only --read-only", "--read-only is given twice")]
    [InlineData("paravane-blk", "--blk-ram=1M --blk-ram=2M", "--blk-ram is given twice")]
    [InlineData("paravane-blk", "--blk-ram=", "--blk-ram=: the value is empty")]
    [InlineData("paravane-blk", "--blk-ram=1M --serial=", "--serial=: the value is empty")]
    [InlineData("paravane-blk", "--blk-ram=1M --serial --read-only", "--serial: the value is missing")]
    [InlineData("paravane-blk", "--blk-ram=1M --serial", "--serial: the value is missing")]
    [InlineData("paravane-blk", "--blk-ram=1M --config=", "--config=: the value is empty")]
    [InlineData("paravane-net", "", "--net")]
    [InlineData("paravane-net", "--net=carrier-pigeon", "--net")]
    [InlineData("paravane-net", "--net=loop --mac=gg:00:00:00:00:01", "--mac")]
    [InlineData("paravane-net", "--net=loop --mtu=5", "--mtu")]
    [InlineData("paravane-net", "--net=loop --queue-pairs=0", "--queue-pairs")]
    public void A_usage_error_is_one_line_that_names_the_option_and_nothing_is_created(string program, string options, string named)
    {
        string[] words = options.Split(' ', StringSplitOptions.RemoveEmptyEntries);
        Assert.Contains(named, BackEndProgram.Refuses(2, program, [$"--socket-path={SocketPath}", .. words]), StringComparison.Ordinal);
        Assert.False(Path.Exists(SocketPath), "a socket appeared");
    }

    [Theory, InlineData("=on"), InlineData("=off"), InlineData("=TRUE"), InlineData("=0"), InlineData(" true"), InlineData(" off"), InlineData("")]
    public void A_switch_may_have_a_value(string value)
    {
        string[] words = $"--client{value}".Split(' ');
        string last = BackEndProgram.Refuses(2, "paravane-blk", ["--blk-null=1", $"--socket-path={SocketPath}", .. words]);
        Assert.Contains("--blk-null=1: give a multiple", last, StringComparison.Ordinal);
    }

    [Fact]
    public void A_value_may_begin_with_dashes_behind_an_equals_sign()
    {
        string line = BackEndProgram.Refuses(2, "paravane-blk", ["--blk-null=1", $"--socket-path={SocketPath}", "--serial=--x"]);
        Assert.Contains("--blk-null=1: give a multiple", line, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("PARAVANE_READ_ONLY=1", "--blk-null=1: give a multiple")]
    [InlineData("PARAVANE_READ_ONLY=yes", "--read-only=yes: give it alone, or on or off")]
    [InlineData("PARAVANE_READ_ONLY=", "--read-only=: give it alone, or on or off")]
    [InlineData("PARAVANE_SERIAL=", "--serial=: the value is empty")]
    [InlineData("PARAVANE_CONFIG=", "--config=: the value is empty")]
    [InlineData("PARAVANE_CONFIG=/nowhere", "--config=/nowhere: there is no such file")]
    public void A_setting_of_the_environment_is_checked_as_an_option_is(string setting, string expected) =>
        Assert.Contains(expected, Shell(2, $"{setting} exec {BackEndProgram.Find("paravane-blk")} --blk-null=1 --socket-path={SocketPath}"), StringComparison.Ordinal);

    [Theory]
    [InlineData("{\"read-only\": \"yes\"}", "--read-only=yes: give it alone, or on or off")]
    [InlineData("{\"read-only\": true, \"num-queues\": 2, \"serial\": null}", "--blk-null=1: give a multiple")]
    [InlineData("{\"serial\": \"\"}", "--serial=: the value is empty")]
    [InlineData("{\"serial\": \"a\\u0000b\"}", "--serial: a zero character")]
    [InlineData("{\"serial\": [\"a\", \"b\"]}", "--serial is given twice")]
    [InlineData("{\"serial\": {\"a\": 1}}", "'serial' needs a text, a number, or true or false")]
    [InlineData("{\"serial\": \"a\", \"Serial\": \"b\"}", "'Serial' is given twice")]
    [InlineData("{\"colour\": \"red\"}", "'colour' is not an option")]
    [InlineData("{\"version\": true}", "'version' is not an option")]
    [InlineData("{\"serial\": \"\\ud800\"}", "the value of 'serial' is not valid Unicode")]
    [InlineData("{\"serial\": [\"\\udc00\"]}", "the value of 'serial' is not valid Unicode")]
    [InlineData("{\"\\ud800\": 1}", "a key is not valid Unicode")]
    [InlineData("{\n  \"serial\": \"a\"\n  \"num-queues\": 2\n}", "is not valid JSON, see line 3")]
    [InlineData("", "is not valid JSON, see line 1")]
    [InlineData("[\"serial\"]", "is not a JSON object")]
    public void A_setting_of_the_file_is_checked_as_an_option_is(string text, string expected)
    {
        File.WriteAllText(_scratch.File("config"), text);
        Assert.Contains(expected, WithConfig(_scratch.File("config")), StringComparison.Ordinal);
    }

    [Fact]
    public void Bytes_that_are_not_UTF_8_are_refused()
    {
        File.WriteAllBytes(_scratch.File("config"), [.. "{\"serial\": \"a"u8, 0xFF, .. "\"}"u8]);
        Assert.Contains("the value of 'serial' is not valid Unicode", WithConfig(_scratch.File("config")), StringComparison.Ordinal);
        string line = Shell(2, $"exec {BackEndProgram.Find("paravane-blk")} --blk-null=1M --socket-path={SocketPath} --serial=$(printf 'a\\377')");
        Assert.Contains("--serial=a\uFFFD: is not UTF-8", line, StringComparison.Ordinal);
    }

    [Fact]
    public void Nobody_turns_a_back_end_into_one_that_only_says_its_version_by_a_setting()
    {
        string line = Shell(2, $"PARAVANE_VERSION=1 PARAVANE_HELP=on PARAVANE_PRINT_CAPABILITIES=on exec {BackEndProgram.Find("paravane-blk")} --blk-null=1 --socket-path={SocketPath}");
        Assert.Contains("--blk-null=1: give a multiple", line, StringComparison.Ordinal);
    }

    [Fact]
    public void A_file_of_settings_that_cannot_be_read_is_named_with_the_reason()
    {
        Assert.Contains($"--config={_scratch.File("none")}: there is no such file", WithConfig(_scratch.File("none")), StringComparison.Ordinal);
        Assert.Contains($"--config={Path.GetTempPath()}: is a directory, not a file", WithConfig(Path.GetTempPath()), StringComparison.Ordinal);
    }

    [Theory, InlineData("paravane-blk"), InlineData("paravane-net"), InlineData("paravane")]
    public void A_failure_that_cannot_be_told_keeps_its_exit_code(string program)
    {
        Assert.Empty(Shell(2, $"exec {BackEndProgram.Find(program)} --bogus 2>&-"));
        Assert.Empty(Shell(2, $"exec {BackEndProgram.Find(program)} --bogus 2>/dev/full"));
    }

    [Theory]
    [InlineData("paravane-blk --help"), InlineData("paravane-blk --version"), InlineData("paravane-net --print-capabilities")]
    [InlineData("paravane --help"), InlineData("paravane run --help"), InlineData("paravane --version")]
    public void Output_that_cannot_be_written_is_a_failure_of_one_line(string command)
    {
        foreach (string sink in (string[])[">/dev/full", ">&-"])
        {
            string line = Shell(1, $"exec {Path.GetDirectoryName(BackEndProgram.Find("paravane"))}/{command} {sink}");
            Assert.Contains("standard output cannot be written", line, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void What_came_closed_does_not_become_the_image()
    {
        string image = _scratch.File("image");
        File.WriteAllBytes(image, new byte[4096]);
        string command = $"exec {BackEndProgram.Find("paravane-blk")} --blk-file={image} --socket-path={SocketPath} --log-level=debug 0<&- >&- 2>&-";
        using (var process = ChildProcess.Start("/bin/sh", ["-c", command], TimeSpan.FromSeconds(60)))
        {
            ListeningSocket.WaitFor(SocketPath, process, TimeSpan.FromSeconds(20));
            process.Stop();
        }

        Assert.All(File.ReadAllBytes(image), part => Assert.Equal(0, part));
    }

    [Theory]
    [InlineData("5</dev/null", "is not a socket")]
    [InlineData("", "is not open")]
    public void A_descriptor_that_is_no_socket_to_serve_on_is_refused(string redirection, string expected) =>
        Assert.Contains($"--fd=5: {expected}", Shell(2, $"exec {BackEndProgram.Find("paravane-net")} --net=loop --fd=5 {redirection}"), StringComparison.Ordinal);

    [Theory, InlineData("paravane-blk"), InlineData("paravane-net")]
    public void Without_a_socket_there_is_nothing_to_do(string program)
    {
        Assert.Contains("--socket-path", BackEndProgram.Refuses(2, program, BackEndProgram.Minimum(program)), StringComparison.Ordinal);
    }

    [Fact]
    public void An_image_that_is_missing_is_refused_before_any_socket_appears() => Refuses(_scratch.File("nowhere"));

    [Fact]
    public void An_image_that_is_a_directory_is_refused_before_any_socket_appears() => Refuses(Directory.CreateDirectory(_scratch.File("directory")).FullName);

    [Theory, InlineData(0, ""), InlineData(511, ""), InlineData(513, ""), InlineData(4096 + 512, "--logical-block-size=4096")]
    public void An_image_that_is_no_whole_number_of_blocks_is_refused_before_any_socket_appears(int sizeBytes, string option)
    {
        File.WriteAllBytes(_scratch.File("image"), new byte[sizeBytes]);
        Refuses(_scratch.File("image"), option);
    }

    [Fact]
    public void An_image_that_cannot_be_opened_for_writing_is_refused_before_any_socket_appears()
    {
        // Nobody, not even root, may write to a program that runs.
        string program = _scratch.File("program");
        File.Copy("/bin/sleep", program);
        using FileStream padded = File.OpenWrite(program);
        padded.SetLength((padded.Length + 4095) / 4096 * 4096);
        padded.Dispose();
        using var running = ChildProcess.Start(program, ["60"], TimeSpan.FromSeconds(60));
        int id = running.ProgramId;
        Assert.True(SpinWait.SpinUntil(() => File.ResolveLinkTarget($"/proc/{id}/exe", false)?.FullName == program, TimeSpan.FromSeconds(10)));
        Refuses(program);
    }

    /// <summary>Runs a command of the shell, which must end with this code.</summary>
    /// <returns>What it wrote: one line or nothing.</returns>
    private static string Shell(int exitCode, string command)
    {
        (int code, string output, string transcript) = ChildProcess.Run("/bin/sh", ["-c", command], TimeSpan.FromSeconds(20));
        Assert.True(code == exitCode, $"exit code {code} of {command}:\n{transcript}");
        Assert.Empty(output);
        return Assert.Single(transcript.TrimEnd('\n').Split('\n'));
    }

    private string WithConfig(string path) => BackEndProgram.Refuses(2, "paravane-blk", "--blk-null=1", $"--socket-path={SocketPath}", $"--config={path}");

    private void Refuses(string image, string option = "")
    {
        string[] words = option.Split(' ', StringSplitOptions.RemoveEmptyEntries);
        string line = BackEndProgram.Refuses(1, "paravane-blk", [$"--socket-path={SocketPath}", $"--blk-file={image}", .. words]);
        Assert.Contains(image, line, StringComparison.Ordinal);
        Assert.False(Path.Exists(SocketPath), "a socket appeared");
    }
}
