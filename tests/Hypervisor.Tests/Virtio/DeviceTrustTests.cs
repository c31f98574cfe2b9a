using System.Diagnostics;
using Paravane.Hypervisor.Tests.Frontend;
using Paravane.Hypervisor.Virtio;
using Paravane.VhostServer.Protocol;
using Paravane.VirtioQueues.Linux;
using Paravane.VirtioQueues.Spec;
using Tmds.Linux;

namespace Paravane.Hypervisor.Tests.Virtio;

/// <summary>What a back-end may do to the hypervisor and to its guest, which is nothing.</summary>
public sealed class DeviceTrustTests
{
    private const ulong Accepted = VirtioFeatures.Version1;
    private const ulong BlockSize = 1UL << 6, ConfigWce = 1UL << 11;

    [Theory]
    [InlineData("other id")]
    [InlineData("short")]
    [InlineData("long")]
    [InlineData("a descriptor")]
    [InlineData("never")]
    [InlineData("late")]
    [InlineData("end of stream")]
    public void H1_a_back_end_that_answers_badly_is_given_up_and_another_serves_the_guest(string kind)
    {
        using var rig = new DeviceRig(
            connection => DeviceRig.Disk(script: message => connection == 0 && message.Request == FrontendRequest.SetVringKick ? Bad(kind) : null),
            patience: TimeSpan.FromMilliseconds(300));
        rig.Device.Start(Accepted, [rig.Queue(0), rig.Queue(1)]);
        rig.AwaitStart(1);
        Wait.Until(() => rig.Device.Counters.Restarts == 1);
        Assert.Equal(0, rig.NeedsReset);
        Assert.Equal(1, rig.Device.Counters.Losses);
        Assert.Contains("SET_VRING_KICK", rig.Device.Counters.LastError, StringComparison.Ordinal);
        Assert.Single(rig.Log);
    }

    [Fact]
    public void H2_a_flood_on_the_back_ends_own_channel_ends_its_connection_and_the_guest_hears_nothing()
    {
        using var rig = new DeviceRig(_ => DeviceRig.Disk());
        rig.Start(Accepted, rig.Queue(0));
        ScriptedBackEnd first = rig.Source[0];
        var flood = new Thread(() =>
        {
            try
            {
                for (int i = 0; i < 100_000; i++)
                {
                    first.SendOnChannel((uint)BackendRequest.ConfigChangeMsg, MessageFlags.Version1, []);
                }
            }
            catch (LinuxException)
            {
                // Given up, as it must be.
            }
        });
        flood.Start();
        rig.AwaitStart(1);
        Assert.True(flood.Join(Wait.Limit));
        Assert.Equal(0, rig.ConfigChanges);
        Assert.Equal(0, rig.NeedsReset);
        Assert.InRange(first.Received.Count(message => message.Request == FrontendRequest.GetConfig), 1, 20);
    }

    [Fact]
    public void H3_a_back_end_cannot_truncate_guest_memory_nor_change_its_seals()
    {
        var errors = new List<int>();
        using var rig = new DeviceRig(_ => new ScriptedBackEnd(message => message.Request == FrontendRequest.GetConfig ? DeviceRig.ConfigAnswer(message, DeviceRig.BlockConfig(64)) : null)
        {
            Features = DeviceRig.Features,
            ProtocolFeatures = DeviceRig.Usual,
            Observe = (message, files) =>
            {
                if (message.Request == FrontendRequest.AddMemReg)
                {
                    const int AddSeals = 1033, SealWrite = 8; // F_ADD_SEALS, F_SEAL_WRITE
                    errors.Add(LibC.ftruncate(files[0].Number, 0) < 0 ? Errno.Last : 0);
                    errors.Add(LibC.ftruncate(files[0].Number, 1L << 40) < 0 ? Errno.Last : 0);
                    errors.Add(LibC.fcntl(files[0].Number, AddSeals, SealWrite) < 0 ? Errno.Last : 0);
                }
            },
        });
        rig.Start(Accepted, rig.Queue(0));
        Assert.Equal([Errno.EPERM, Errno.EPERM, Errno.EPERM], errors);
    }

    [Fact]
    public void H4_nonsense_in_a_changed_configuration_never_reaches_the_guest()
    {
        byte[] config = DeviceRig.BlockConfig(64);
        using var rig = new DeviceRig(_ => DeviceRig.Disk(DeviceRig.Features | BlockSize | ConfigWce,
            script: message => message.Request == FrontendRequest.GetConfig ? DeviceRig.ConfigAnswer(message, config) : null));
        rig.Start(Accepted, rig.Queue(0));
        byte[] before = Read(rig.Device);
        config = [.. Enumerable.Repeat((byte)0xff, 60)];
        Change(rig);
        Thread.Sleep(50);
        Assert.Equal(before, Read(rig.Device));
        Assert.Equal(0, rig.ConfigChanges);

        byte generation = rig.Device.ConfigGeneration;
        config = DeviceRig.BlockConfig(128, queues: 9, block: 3, writeback: 0); // a disk that has grown, among lies
        Change(rig);
        Wait.Until(() => rig.ConfigChanges == 1);
        Assert.Equal(DeviceRig.BlockConfig(128, writeback: 0), Read(rig.Device));
        Assert.NotEqual(generation, rig.Device.ConfigGeneration);
        Assert.Equal(1, rig.Device.Counters.ConfigChanges);
    }

    [Fact]
    public void H4_random_configurations_leave_a_network_device_as_it_was_but_for_its_link_and_a_possible_address()
    {
        byte[] config = DeviceRig.NetConfig(1);
        using var rig = new DeviceRig(
            _ => DeviceRig.Disk(DeviceRig.Features | (1UL << 5) | (1UL << 16), script: message => message.Request == FrontendRequest.GetConfig ? DeviceRig.ConfigAnswer(message, config) : null),
            options => options with { DeviceId = VhostUserOptions.NetDevice });
        rig.Start(Accepted, rig.Queue(0), rig.Queue(1));
        byte[] before = Read(rig.Device);
        var random = new Random(4);
        for (int i = 0; i < 6; i++)
        {
            byte[] next = new byte[12];
            random.NextBytes(next);
            next[0] = (byte)((next[0] & ~1) | (i & 1)); // each other one is a group's
            int asked = Asked();
            config = next;
            Change(rig);
            Wait.Until(() => Asked() > asked);
            Thread.Sleep(20);
            byte[] now = Read(rig.Device);
            Assert.InRange(now[6], 0, 1);
            Assert.Equal(0, now[7]);
            Assert.Equal((i & 1) == 0 ? next[..6] : before[..6], now[..6]);
            Assert.Equal(before[8..], now[8..]);
            before = now;
        }

        int Asked() => rig.Source[0].Received.Count(message => message.Request == FrontendRequest.GetConfig);
    }

    [Fact]
    public void H4_a_successor_that_lacks_features_in_use_is_not_taken_and_that_is_logged_once()
    {
        using var rig = new DeviceRig(connection => connection is > 0 and < 4
            ? DeviceRig.Disk(DeviceRig.Features & ~VirtioFeatures.EventIdx)
            : DeviceRig.Disk(script: message => connection == 0 && message.Request == FrontendRequest.SetStatus && message.Number == 15 ? new Answer { Close = true } : null));
        rig.Device.Start(Accepted | VirtioFeatures.EventIdx, [rig.Queue(0)]);
        rig.AwaitStart(4);
        Assert.Equal(0, rig.NeedsReset);
        Assert.Equal(Accepted | VirtioFeatures.EventIdx, rig.Device.Features & (Accepted | VirtioFeatures.EventIdx));
        Assert.DoesNotContain(rig.Source[1].Received, message => message.Request == FrontendRequest.SetFeatures);
        Assert.Single(rig.Log, line => line.Contains("lacks features", StringComparison.Ordinal));
    }

    [Fact]
    public void H6_no_call_waits_for_a_back_end_that_never_answers()
    {
        bool silent = false;
        using var rig = new DeviceRig(_ => DeviceRig.Disk(DeviceRig.Features | ConfigWce, script: message => silent ? new Answer { Silent = true } : null));
        using var call = new EventFd();
        VirtqueueSetup first = rig.Queue(0), second = rig.Queue(0);
        silent = true;
        int calls = 0, slow = 0, stops = 0;
        for (int i = 0; i < 200; i++)
        {
            Measure(() => rig.Device.Start(Accepted, [first]));
            Measure(() => rig.Device.SetCall(0, call));
            Measure(() => rig.Device.SetCall(0, null));
            Measure(() => rig.Device.WriteConfig(32, [(byte)(i & 1)]));
            Measure(() => rig.Device.ReadConfig(0, new byte[60]));
            Measure(() => rig.Device.KickOf(0).Signal());
            Measure(() => rig.Device.StopQueue(0, () => Interlocked.Increment(ref stops)));
            Measure(() => rig.Device.StartQueue(second));
            Measure(() => rig.Device.Stop(() => Interlocked.Increment(ref stops)));
        }

        Measure(rig.Device.Close);
        Assert.True(slow * 100 < calls, $"{slow} of {calls} calls took more than 10 ms");
        long start = Stopwatch.GetTimestamp();
        rig.Device.Dispose();
        Assert.True(Stopwatch.GetElapsedTime(start) < TimeSpan.FromSeconds(5), "the end waits for nobody either");
        Assert.Equal(400, stops);

        // A call that waits does so each time, and for as long as the patience with a reply; on a busy machine any call may be interrupted.
        void Measure(Action action)
        {
            long before = Stopwatch.GetTimestamp();
            action();
            TimeSpan taken = Stopwatch.GetElapsedTime(before);
            calls++;
            slow += taken > TimeSpan.FromMilliseconds(10) ? 1 : 0;
            Assert.True(taken < TimeSpan.FromSeconds(2));
        }
    }

    private static void Change(DeviceRig rig) =>
        rig.Source[0].SendOnChannel((uint)BackendRequest.ConfigChangeMsg, MessageFlags.Version1, []);

    private static byte[] Read(VhostUserFunction device)
    {
        byte[] config = new byte[device.ConfigLengthBytes];
        device.ReadConfig(0, config);
        return config;
    }

    private static Answer Bad(string kind)
    {
        if (kind == "late")
        {
            Thread.Sleep(500);
        }

        return kind switch
        {
            "other id" => Answer.Of(0) with { Request = 2 },
            "short" => new Answer { Payload = new byte[4] },
            "long" => new Answer { Payload = new byte[16] },
            "a descriptor" => Answer.Of(0) with { Descriptors = 1 },
            "never" => new Answer { Silent = true },
            "late" => Answer.Of(0),
            _ => new Answer { Close = true },
        };
    }
}
