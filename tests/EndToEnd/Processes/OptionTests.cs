using System.Text.Json;
using Paravane.Peers;

namespace Paravane.EndToEnd.Processes;

/// <summary>What the back-ends say about themselves, and how they refuse what they cannot do.</summary>
public sealed class OptionTests : IDisposable
{
    private static readonly string[] s_common =
        ["--socket-path", "--fd", "--client", "--print-capabilities", "--poll", "--cpus", "--log-level", "--help", "--version"];
    private static readonly string[] s_block =
        ["--blk-file", "--blk-ram", "--blk-null", "--read-only", "--num-queues", "--queue-size", "--serial", "--logical-block-size", "--direct"];
    private static readonly string[] s_net = ["--net", "--queue-pairs", "--queue-size", "--mac", "--mtu"];

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

    private void Refuses(string image, string option = "")
    {
        string[] words = option.Split(' ', StringSplitOptions.RemoveEmptyEntries);
        string line = BackEndProgram.Refuses(1, "paravane-blk", [$"--socket-path={SocketPath}", $"--blk-file={image}", .. words]);
        Assert.Contains(image, line, StringComparison.Ordinal);
        Assert.False(Path.Exists(SocketPath), "a socket appeared");
    }
}
