using Paravane.Hypervisor.Tests.Virtio;
using Paravane.Hypervisor.Virtio;
using Paravane.Hypervisor.Workers;
using Paravane.Peers;
using Paravane.VirtioQueues.Driver;
using Paravane.VirtioQueues.Spec;

namespace Paravane.Hypervisor.Tests.Workers;

/// <summary>A back-end that somebody else starts, and that stays away for long.</summary>
public sealed class SocketReturnTests
{
    private const ulong Features = VirtioFeatures.Version1 | VirtioFeatures.EventIdx;

    /// <summary>Attempts after which pauses do not grow any more, and one: from there on a minute is like an hour.</summary>
    private const int Attempts = 10;

    [Fact]
    public void I5_a_socket_that_is_away_until_the_pauses_are_longest_is_taken_up_again_and_the_requests_that_waited_complete()
    {
        using var directory = TemporaryDirectory.Create();
        string socket = directory.File("s");
        ChildProcess backEnd = Start(socket);
        try
        {
            using var rig = new WorkerRig(VhostUserOptions.BlockDevice, new SocketBackEnd(socket));
            using var driver = new DiskDriver<SplitDriver>(rig, 0, Features);
            rig.Device.Start(Features, [driver.Setup]);
            driver.Submit(0, write: false, block: 0);
            _ = driver.Collect();
            backEnd.Signal(9);
            backEnd.Dispose();
            File.Delete(socket);
            for (int slot = 0; slot < DiskDriver<SplitDriver>.Depth; slot++)
            {
                driver.Submit(slot, write: false, (ulong)slot);
            }

            Wait.Until(() => rig.Device.Counters.Losses >= Attempts);
            backEnd = Start(socket);
            while (driver.Busy > 0)
            {
                _ = driver.Collect();
            }

            Wait.Until(() => rig.Device.Counters.Restarts == 1); // counted once all is told, when the first requests may be done already
            Assert.Equal(0, rig.NeedsReset);
        }
        finally
        {
            backEnd.Dispose();
        }
    }

    private static ChildProcess Start(string socket)
    {
        var backEnd = ChildProcess.Start(BackEndPrograms.Block, [$"--socket-path={socket}", "--blk-ram=16M", "--poll=off"], TimeSpan.FromSeconds(60));
        ListeningSocket.WaitFor(socket, backEnd, Wait.Limit);
        return backEnd;
    }
}
