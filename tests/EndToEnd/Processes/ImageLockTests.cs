using Paravane.Peers;

namespace Paravane.EndToEnd.Processes;

/// <summary>One image has one writer, or readers only.</summary>
public sealed class ImageLockTests : IDisposable
{
    private readonly TemporaryDirectory _scratch = TemporaryDirectory.Create();

    public ImageLockTests()
    {
        using FileStream image = File.Create(Image);
        image.SetLength(1 << 20);
    }

    private string Image => _scratch.File("image");

    public void Dispose() => _scratch.Dispose();

    [Theory]
    [InlineData("--read-only=false", "--read-only=false")]
    [InlineData("--read-only=true", "--read-only=false")]
    [InlineData("--read-only=false", "--read-only=true")]
    public void An_image_that_another_one_serves_is_refused_before_any_socket_appears(string first, string second)
    {
        using ChildProcess owner = Start("first", first);
        string line = BackEndProgram.Refuses(1, "paravane-blk", $"--socket-path={_scratch.File("second")}", $"--blk-file={Image}", second);
        Assert.Contains(Image, line, StringComparison.Ordinal);
        Assert.False(Path.Exists(_scratch.File("second")), "a socket appeared");
        Assert.False(owner.HasExited);
    }

    [Fact]
    public void Readers_share_an_image()
    {
        using ChildProcess first = Start("first", "--read-only"), second = Start("second", "--read-only");
        Assert.False(first.HasExited);
    }

    [Fact]
    public void After_a_kill_the_image_is_free_at_once()
    {
        for (int life = 0; life < 5; life++)
        {
            using ChildProcess process = Start("socket", "--num-queues=2");
            process.Signal(Tmds.Linux.LibC.SIGKILL);
        }
    }

    private ChildProcess Start(string socket, string option) => BackEnd.Start(Programs.Block, _scratch.File(socket), $"--blk-file={Image}", option);
}
