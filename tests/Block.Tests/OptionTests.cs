using Paravane.VhostServer.Hosting;

namespace Paravane.Backends.Block.Tests;

/// <summary>What the program says to a command line that cannot be, and that it created nothing.</summary>
[Collection("console")] // standard error is one for the whole process
public sealed class OptionTests
{
    [Theory]
    [InlineData("", "--blk-file")]
    [InlineData("--blk-null=1G --blk-ram=1G", "exclude each other")]
    [InlineData("--blk-file=x --blk-ram=1G", "exclude each other")]
    [InlineData("--blk-null=0", "--blk-null=0")]
    [InlineData("--blk-null=1X", "--blk-null=1X")]
    [InlineData("--blk-null=-1", "--blk-null=-1")]
    [InlineData("--blk-null=1000", "multiple of the block size")]
    [InlineData("--blk-null=99999999999T", "--blk-null")]
    [InlineData("--blk-ram=512 --logical-block-size=4096", "multiple of the block size")]
    [InlineData("--blk-null=1G --direct=on", "--direct=on needs --blk-file")]
    [InlineData("--blk-null=1G --direct=maybe", "--direct=maybe")]
    [InlineData("--blk-ram=1G --pin-memory=on", "--pin-memory=on needs --blk-file")]
    [InlineData("--blk-null=1G --num-queues=0", "--num-queues=0")]
    [InlineData("--blk-null=1G --num-queues=257", "--num-queues=257")]
    [InlineData("--blk-null=1G --num-queues=x", "--num-queues=x")]
    [InlineData("--blk-null=1G --queue-size=3", "--queue-size=3")]
    [InlineData("--blk-null=1G --queue-size=100", "--queue-size=100")]
    [InlineData("--blk-null=1G --queue-size=65536", "--queue-size=65536")]
    [InlineData("--blk-null=1G --logical-block-size=1024", "--logical-block-size=1024")]
    [InlineData("--blk-null=1G --serial=123456789012345678901", "--serial")]
    [InlineData("--blk-null=1G --workers=two", "--workers=two")]
    [InlineData("--blk-nul=1G", "did you mean --blk-null?")]
    public void A_usage_error_is_one_line_that_names_the_option(string arguments, string named) => Fails(2, arguments, named);

    [Fact]
    public void An_image_that_cannot_be_used_is_one_line_before_any_socket_appears()
    {
        using var tiny = new TempImage(511);
        using var odd = new TempImage(512 + 256);
        using var block = new TempImage(512 * 9);
        Fails(1, "--blk-file=/nonexistent/disk.img", "there is no such file");
        Fails(1, "--blk-file=/tmp", "is a directory");
        Fails(1, "--blk-file=/tmp --read-only", "is a directory");
        Fails(1, "--blk-file=/dev/null", "neither a regular file nor a block device");
        Fails(1, $"--blk-file={tiny.Path}", "511 bytes long, less than one sector");
        Fails(1, $"--blk-file={odd.Path}", "768 bytes is not a multiple of the block size, 512");
        Fails(1, $"--blk-file={block.Path} --logical-block-size=4096", "4608 bytes is not a multiple of the block size, 4096");
    }

    [Fact]
    public void An_image_that_cannot_be_written_is_refused_unless_the_disk_is_read_only()
    {
        // A program that runs cannot be written, not even by root (ETXTBSY). Its length is made that of a disk first.
        string path = Path.Combine(Path.GetTempPath(), $"paravane-blk-test-{Guid.NewGuid():n}");
        File.Copy("/bin/sleep", path);
        using (FileStream file = File.OpenWrite(path))
        {
            file.SetLength((file.Length + 511) / 512 * 512);
        }

        using System.Diagnostics.Process busy = System.Diagnostics.Process.Start(path, "60");
        try
        {
            Fails(1, $"--blk-file={path}", "cannot be opened for reading and writing: Text file busy");
            using Stores.Store store = Stores.FileStore.Open(path, new BlockDeviceOptions { ReadOnly = true }, default, _ => { });
            Assert.NotEqual(0u, store.LengthBytes);
        }
        finally
        {
            busy.Kill();
            busy.WaitForExit();
            File.Delete(path);
        }
    }

    [Fact]
    public void Capabilities_are_the_conventional_json_whatever_else_is_asked()
    {
        (int code, string output, _) = Run("--blk-null=1G --print-capabilities --no-such-option");
        Assert.Equal(0, code);
        Assert.Equal("{\"type\":\"block\",\"features\":[\"blk-file\",\"read-only\"]}", output.Trim());
    }

    [Fact]
    public void Help_shows_every_option_with_a_default_and_an_example()
    {
        (int code, string output, _) = Run("--help");
        Assert.Equal(0, code);
        foreach (System.CommandLine.Option option in new BlockOptions().All)
        {
            int start = output.IndexOf($"\n  {option.Name}", StringComparison.Ordinal);
            Assert.True(start > 0, option.Name);
            string text = output[start..].Split("\n\n")[0];
            Assert.Contains("Example:", text, StringComparison.Ordinal);
            Assert.Contains("Default:", text, StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData("1", 1UL)]
    [InlineData("4096", 4096UL)]
    [InlineData("1K", 1UL << 10)]
    [InlineData("64m", 64UL << 20)]
    [InlineData("3G", 3UL << 30)]
    [InlineData("8T", 8UL << 40)]
    [InlineData("9223372036854775807", 9223372036854775807UL)]
    public void Sizes_take_units_of_1024(string text, ulong bytes)
    {
        Assert.True(ByteSize.TryParse(text, out ulong parsed));
        Assert.Equal(bytes, parsed);
        Assert.True(ByteSize.TryParse(ByteSize.Format(bytes), out ulong again));
        Assert.Equal(bytes, again);
    }

    [Theory]
    [InlineData("")]
    [InlineData("K")]
    [InlineData("0")]
    [InlineData("-1")]
    [InlineData("1.5G")]
    [InlineData("1KB")]
    [InlineData("9223372036854775808")]
    [InlineData("8388608T")]
    [InlineData(" 1")]
    public void Anything_else_is_no_size(string text) => Assert.False(ByteSize.TryParse(text, out _));

    private static void Fails(int code, string arguments, string named)
    {
        string socket = Path.Combine(Path.GetTempPath(), $"paravane-blk-test-{Guid.NewGuid():n}.sock");
        (int actual, string output, string error) = Run($"--socket-path={socket} {arguments}");
        Assert.Equal(code, actual);
        Assert.Empty(output);
        Assert.Contains(named, error, StringComparison.Ordinal);
        Assert.StartsWith("paravane-blk: ", error, StringComparison.Ordinal);
        Assert.Single(error.TrimEnd('\n').Split('\n'));
        Assert.False(File.Exists(socket));
    }

    private static (int Code, string Output, string Error) Run(string arguments)
    {
        TextWriter output = Console.Out, error = Console.Error;
        using StringWriter said = new(), complained = new();
        Console.SetOut(said);
        Console.SetError(complained);
        try
        {
            int code = BlockProgram.Create().Run(arguments.Split(' ', StringSplitOptions.RemoveEmptyEntries));
            return (code, said.ToString(), complained.ToString());
        }
        finally
        {
            Console.SetOut(output);
            Console.SetError(error);
        }
    }
}
