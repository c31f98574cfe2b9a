using Paravane.Peers;

namespace Paravane.EndToEnd;

/// <summary>Our driver side on a device side that nobody here wrote: <c>paravane bench net</c> against testpmd's vhost port.</summary>
[Collection(BusyMachine.Name)]
public sealed class ForeignNetTests
{
    private static readonly TimeSpan s_lifetime = TimeSpan.FromSeconds(30);

    [Theory]
    [InlineData("--ring=split", "--mergeable=off", "--frame-size=64")]
    [InlineData("--ring=split", "--mergeable=on", "--frame-size=1518")]
    [InlineData("--ring=packed", "--mergeable=off", "--frame-size=1518")]
    [InlineData("--ring=packed", "--mergeable=on", "--frame-size=64")]
    [InlineData("--ring=split", "--mergeable=on", "--frame-size=64", "--in-order=on")]
    [InlineData("--ring=packed", "--mergeable=on", "--frame-size=1518", "--in-order=on")]
    [InlineData("--ring=split", "--mergeable=on", "--frame-size=64", "--notify=eventfd")]
    [InlineData("--ring=packed", "--mergeable=off", "--frame-size=64", "--notify=eventfd", "--event-idx=off")]
    public void Every_frame_comes_back_as_it_was_sent(params string[] options)
    {
        using var directory = TemporaryDirectory.Create();
        string socket = directory.File("net.sock");
        using Testpmd vhost = NetPeer.StartVhost(socket);
        Verify(socket, options);
    }

    [Theory]
    [InlineData("split")]
    [InlineData("packed")]
    public void Two_queue_pairs_work(string ring)
    {
        using var directory = TemporaryDirectory.Create();
        string socket = directory.File("net.sock");
        using Testpmd vhost = NetPeer.StartVhost(socket, queuePairs: 2);
        Verify(socket, $"--ring={ring}", "--queue-pairs=2");
    }

    private static void Verify(string socket, params string[] options)
    {
        BenchResult result = BenchCommand.Run("net", socket, [.. options, "--verify", "--runtime=500ms", "--warmup=100ms"], s_lifetime);
        Assert.Equal(0, result.Errors);
        Assert.Equal(0, result.Lost);
        Assert.True(result.Verified > 0);
    }
}
