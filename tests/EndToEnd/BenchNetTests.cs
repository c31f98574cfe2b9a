using Paravane.Peers;

namespace Paravane.EndToEnd;

/// <summary><c>paravane bench net --verify</c> against <c>paravane-net --net=loop</c>: ring formats and features in all combinations.</summary>
[Collection(BusyMachine.Name)]
public sealed class BenchNetTests
{
    private static readonly TimeSpan s_lifetime = TimeSpan.FromSeconds(30);
    private static readonly string[] s_switch = ["on", "off"];

    /// <summary>Ring format, event index, mergeable buffers, in-order use.</summary>
    public static TheoryData<string, string, string, string> Combinations()
    {
        TheoryData<string, string, string, string> rows = [];
        foreach (string ring in (string[])["split", "packed"])
        {
            foreach (string eventIndex in s_switch)
            {
                foreach (string mergeable in s_switch)
                {
                    rows.Add(ring, eventIndex, mergeable, "on");
                    rows.Add(ring, eventIndex, mergeable, "off");
                }
            }
        }

        return rows;
    }

    [Theory]
    [MemberData(nameof(Combinations))]
    public void Every_frame_comes_back_to_a_driver_that_polls(string ring, string eventIndex, string mergeable, string inOrder) =>
        Verify(1, $"--ring={ring}", $"--event-idx={eventIndex}", $"--mergeable={mergeable}", $"--in-order={inOrder}", "--frame-size=64", "--notify=poll");

    [Theory]
    [MemberData(nameof(Combinations))]
    public void Every_frame_comes_back_to_a_driver_that_sleeps(string ring, string eventIndex, string mergeable, string inOrder) =>
        Verify(2, $"--ring={ring}", $"--event-idx={eventIndex}", $"--mergeable={mergeable}", $"--in-order={inOrder}", "--frame-size=1518", "--notify=eventfd");

    private static void Verify(int queuePairs, params string[] options)
    {
        using var directory = TemporaryDirectory.Create();
        string socket = directory.File("net.sock");
        using ChildProcess backend = NetPeer.StartLoop(socket, queuePairs);
        string[] all = [.. options, $"--queue-pairs={queuePairs}", "--verify", "--runtime=300ms", "--warmup=0s"];
        BenchResult result = BenchCommand.Run("net", socket, all, s_lifetime);
        Assert.Equal(0, result.Errors);
        Assert.Equal(0, result.Lost);
        Assert.True(result.Verified > 0);
        Assert.Equal(0, backend.Stop());
    }
}
