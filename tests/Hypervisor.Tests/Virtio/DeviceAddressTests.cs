using Paravane.Hypervisor.Virtio;
using Paravane.VhostServer.Protocol;
using Paravane.VirtioQueues.Spec;

namespace Paravane.Hypervisor.Tests.Virtio;

/// <summary>The address of a NIC, which its driver changes by a command to the back-end: what the guest reads of it.</summary>
public sealed class DeviceAddressTests
{
    private const ulong Accepted = VirtioFeatures.Version1, Mac = 1UL << 5, Status = 1UL << 16;

    private static readonly byte[] s_first = [0x52, 0x54, 0, 1, 2, 3], s_other = [0x52, 0x54, 0, 0xab, 0xcd, 0xef];

    [Fact]
    public void A_changed_address_is_read_by_the_guest_as_one_new_generation()
    {
        byte[] address = s_first;
        using DeviceRig rig = Rig(_ => address);
        rig.Start(Accepted, rig.Queue(0), rig.Queue(1));
        byte generation = rig.Device.ConfigGeneration;
        address = s_other;
        Change(rig);
        Wait.Until(() => rig.ConfigChanges == 1);
        Assert.Equal(s_other, Read(rig.Device));
        Assert.Equal((byte)(generation + 1), rig.Device.ConfigGeneration);
    }

    [Theory]
    [InlineData("000000000000")]
    [InlineData("535400abcdef")]
    [InlineData("ffffffffffff")]
    [InlineData("010000000000")]
    public void H4_an_address_that_no_interface_can_have_never_reaches_the_guest(string nonsense)
    {
        byte[] address = s_first;
        using DeviceRig rig = Rig(_ => address);
        rig.Start(Accepted, rig.Queue(0), rig.Queue(1));
        address = Convert.FromHexString(nonsense);
        ChangeAndAwaitReading(rig);
        Assert.Equal(s_first, Read(rig.Device));
        Assert.Equal(0, rig.ConfigChanges);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void An_address_that_the_user_gave_or_that_is_not_offered_stays(bool given)
    {
        byte[] address = s_first, own = [0x52, 0x54, 0, 9, 9, 9];
        using DeviceRig rig = Rig(_ => address, options => given ? options with { Mac = own } : options, given ? Mac : 0);
        rig.Start(Accepted, rig.Queue(0), rig.Queue(1));
        byte[] before = Read(rig.Device);
        Assert.Equal(given ? own : s_first, before);
        address = s_other;
        ChangeAndAwaitReading(rig);
        Assert.Equal(before, Read(rig.Device));
        Assert.Equal(0, rig.ConfigChanges);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_reset_takes_the_drivers_address_back_before_the_driver_hears_of_it(bool alive)
    {
        byte[] address = s_first;
        using DeviceRig rig = Rig(_ => address);
        rig.Start(Accepted, rig.Queue(0), rig.Queue(1));
        address = s_other;
        Change(rig);
        Wait.Until(() => rig.ConfigChanges == 1);
        address = s_first;
        if (!alive)
        {
            rig.Source[0].Dispose();
            Wait.Until(() => rig.Device.Counters.Losses == 1);
        }

        byte[] read = [];
        using var stopped = new ManualResetEventSlim();
        rig.Device.Stop(() =>
        {
            read = Read(rig.Device);
            stopped.Set();
        });
        Assert.True(stopped.Wait(Wait.Limit, TestContext.Current.CancellationToken));
        if (alive)
        {
            Assert.Equal(s_first, read);
        }

        Wait.Until(() => Read(rig.Device).AsSpan().SequenceEqual(s_first)); // who comes in the dead one's place says so
    }

    /// <summary>As the next paravane-net does it: its control queue finds the address in the record of requests under way.</summary>
    [Fact]
    public void A_successors_own_address_is_not_shown_while_it_cannot_know_the_drivers_yet()
    {
        byte[] address = s_first;
        bool isRunning = false;
        using DeviceRig rig = Rig(connection => connection == 0 || Volatile.Read(ref isRunning) ? address : s_first, onKick: connection => isRunning = connection > 0);
        rig.Start(Accepted, rig.Queue(0), rig.Queue(1));
        address = s_other;
        Change(rig);
        Wait.Until(() => rig.ConfigChanges == 1);
        rig.Source[0].Dispose();
        rig.AwaitStart(1);
        Assert.InRange(Asked(rig, 1), 1, 2); // before it knows, and once more when it does
        Wait.Until(() => Asked(rig, 1) == 2);
        Thread.Sleep(20);
        Assert.Equal(s_other, Read(rig.Device));
        Assert.Equal(1, rig.ConfigChanges);
    }

    [Fact]
    public async Task A_change_that_is_told_just_before_a_pause_is_read_after_it()
    {
        byte[] address = s_first;
        using DeviceRig rig = Rig(_ => address);
        rig.Start(Accepted, rig.Queue(0), rig.Queue(1));
        ChangeAndAwaitReading(rig); // the next one is not looked at before 100 ms have passed
        address = s_other;
        Change(rig);
        await rig.Device.PauseAsync().WaitAsync(Wait.Limit, TestContext.Current.CancellationToken);
        int asked = Asked(rig, 0);
        await Task.Delay(250, TestContext.Current.CancellationToken);
        Assert.Equal(asked, Asked(rig, 0));
        await rig.Device.ResumeAsync().WaitAsync(Wait.Limit, TestContext.Current.CancellationToken);
        Wait.Until(() => rig.ConfigChanges == 1);
        Assert.Equal(s_other, Read(rig.Device));
    }

    /// <summary>Such a back-end counts as one without a configuration.</summary>
    [Fact]
    public void A_configuration_that_the_user_cut_short_is_this_sides_own()
    {
        using DeviceRig rig = Rig(_ => s_first, options => options with { ConfigLengthBytes = 4 });
        rig.Start(Accepted, rig.Queue(0), rig.Queue(1));
        ChangeAndAwaitReading(rig);
        Assert.Equal(new byte[6], Read(rig.Device));
        Assert.Equal(0, rig.ConfigChanges);
    }

    /// <summary>A NIC whose back-ends name, at each connection, the address that they are asked for.</summary>
    private static DeviceRig Rig(
        Func<int, byte[]> address, Func<VhostUserOptions, VhostUserOptions>? change = null, ulong feature = Mac, Action<int>? onKick = null) => new(
        connection => DeviceRig.Disk(DeviceRig.Features | Status | feature, script: message =>
        {
            if (message.Request == FrontendRequest.SetVringKick)
            {
                onKick?.Invoke(connection);
            }

            return message.Request == FrontendRequest.GetConfig ? DeviceRig.ConfigAnswer(message, [.. address(connection), .. DeviceRig.NetConfig(1)[6..]]) : null;
        }),
        options => (change?.Invoke(options) ?? options) with { DeviceId = VhostUserOptions.NetDevice });

    private static void Change(DeviceRig rig) => rig.Source[0].SendOnChannel((uint)BackendRequest.ConfigChangeMsg, MessageFlags.Version1, []);

    private static void ChangeAndAwaitReading(DeviceRig rig)
    {
        int asked = Asked(rig, 0);
        Change(rig);
        Wait.Until(() => Asked(rig, 0) > asked);
        Thread.Sleep(20);
    }

    private static int Asked(DeviceRig rig, int connection) => rig.Source[connection].Received.Count(message => message.Request == FrontendRequest.GetConfig);

    private static byte[] Read(VhostUserFunction device)
    {
        byte[] address = new byte[6];
        device.ReadConfig(0, address);
        return address;
    }
}
