using Paravane.VhostServer.Protocol;
using Paravane.VhostServer.Tests.Support;
using Paravane.VirtioQueues.Linux;
using Paravane.VirtioQueues.Memory;
using Paravane.VirtioQueues.Spec;

namespace Paravane.VhostServer.Tests.Session;

public sealed class DirtyLogTests
{
    private const ulong PageBytes = DirtyLog.PageBytes;
    private const ulong LogBytes = (Machine.GuestBase + Machine.SizeBytes) / PageBytes / 8;

    public static TheoryData<ulong, bool> Cases => new()
    {
        { Machine.Split, false },
        { Machine.Split, true },
        { Machine.Packed, false },
        { Machine.Packed, true },
    };

    [Theory, MemberData(nameof(Cases))]
    public void I7_every_page_that_changes_is_marked_whether_the_log_comes_before_or_after_the_requests(ulong features, bool logLast)
    {
        using var server = new TestServer(new EchoDevice());
        using var machine = new Machine(server.Connect(), features);
        using MemFd file = MemFd.Create("vhost-test-log", 8192);
        using TestRing ring = TestRing.Of(machine).Start();
        ring.Echo(3);
        if (!logLast)
        {
            SetLog(machine, file, offset: 4096);
        }

        Assert.True(machine.Frontend.Try(FrontendRequest.SetFeatures, features | VirtioFeatures.LogAll));
        Assert.True(machine.Frontend.Try(FrontendRequest.SetVringAddr, ring.Address(VringAddressFlags.Log, ring.Config.DeviceArea.Value)));
        Assert.True(machine.Frontend.IsServed());
        byte[] before = machine.Snapshot();
        List<ushort> slots = [.. Enumerable.Range(0, 5).Select(_ => ring.Offer())];
        slots.ForEach(_ => ring.Collect());
        if (logLast)
        {
            SetLog(machine, file, offset: 4096);
        }

        ring.Stop();
        byte[] after = machine.Snapshot();
        using Mapping map = Mapping.OfFile(file, 0, 8192);
        var marked = new HashSet<ulong>();
        for (ulong page = 0; page < 4096 * 8; page++)
        {
            if (IsMarked(map, 4096, page))
            {
                marked.Add(page);
            }

            Assert.False(IsMarked(map, 0, page)); // nothing before the area
        }

        // Every page whose bytes differ and that the device may have written is marked: writable buffers, used ring, descriptor ring.
        foreach (ushort slot in slots)
        {
            Assert.Contains(ring.Buffers(slot).Writable.Value / PageBytes, marked);
        }

        ulong ringPage = ((features & VirtioFeatures.RingPacked) != 0 ? ring.Config.DescriptorArea : ring.Config.DeviceArea).Value / PageBytes;
        Assert.Contains(ringPage, marked);
        Assert.All(marked, page => Assert.InRange(page, Machine.GuestBase / PageBytes, ((Machine.GuestBase + Machine.SizeBytes) / PageBytes) - 1));
        for (ulong page = 0; page < Machine.SizeBytes / PageBytes; page++)
        {
            bool differs = !before.AsSpan((int)(page * PageBytes), (int)PageBytes).SequenceEqual(after.AsSpan((int)(page * PageBytes), (int)PageBytes));
            bool byDriverOnly = page + (Machine.GuestBase / PageBytes) == ring.Config.DriverArea.Value / PageBytes
                || page + (Machine.GuestBase / PageBytes) == ring.Config.DescriptorArea.Value / PageBytes;
            Assert.True(!differs || byDriverOnly || marked.Contains(page + (Machine.GuestBase / PageBytes)), $"page {page} changed and is not marked");
        }
    }

    [Fact]
    public void I7_nothing_is_marked_once_logging_is_off_and_a_fresh_area_starts_clean()
    {
        using var server = new TestServer(new EchoDevice());
        using var machine = new Machine(server.Connect());
        using MemFd first = MemFd.Create("vhost-test-log", 4096);
        using MemFd second = MemFd.Create("vhost-test-log", 4096);
        using TestRing ring = TestRing.Of(machine).Start();
        SetLog(machine, first, 0);
        Assert.True(machine.Frontend.Try(FrontendRequest.SetFeatures, machine.Features | VirtioFeatures.LogAll));
        ring.Echo();
        Assert.True(IsAnyMarked(first));
        SetLog(machine, second, 0);
        Assert.False(IsAnyMarked(second));
        ring.Echo();
        Assert.True(IsAnyMarked(second));
        Assert.True(machine.Frontend.Try(FrontendRequest.SetFeatures, machine.Features));
        using MemFd third = MemFd.Create("vhost-test-log", 4096);
        SetLog(machine, third, 0);
        ring.Echo();
        Assert.False(IsAnyMarked(third));
    }

    [Theory, MemberData(nameof(Cases))]
    public void I7_what_changes_between_a_restart_and_its_log_is_marked_in_that_log(ulong features, bool resumesLogging)
    {
        // QEMU's network front-end frees the log when it stops the rings, and brings the next one after it started them again.
        using var server = new TestServer(new EchoDevice());
        using var machine = new Machine(server.Connect(), features);
        using MemFd first = MemFd.Create("vhost-test-log", 4096);
        using MemFd second = MemFd.Create("vhost-test-log", 4096);
        using TestRing ring = TestRing.Of(machine).Start();
        SetLog(machine, first, 0);
        Assert.True(machine.Frontend.Try(FrontendRequest.SetFeatures, features | VirtioFeatures.LogAll));
        ring.Echo();
        if (resumesLogging)
        {
            Assert.True(machine.Frontend.Try(FrontendRequest.SetFeatures, features));
            Assert.True(machine.Frontend.Try(FrontendRequest.SetFeatures, features | VirtioFeatures.LogAll));
        }
        else
        {
            ring.Start(ring.Stop());
        }

        ushort slot = ring.Offer();
        ring.Collect();
        SetLog(machine, second, 0);
        using Mapping old = Mapping.OfFile(first, 0, 4096), map = Mapping.OfFile(second, 0, 4096);
        ulong page = ring.Buffers(slot).Writable.Value / PageBytes;
        Assert.True(IsMarked(map, 0, page));
        Assert.True(IsMarked(old, 0, ring.Buffers(0).Writable.Value / PageBytes)); // what it was told before
        for (slot = ring.Offer(); ring.Buffers(slot).Writable.Value / PageBytes == page; slot = ring.Offer())
        {
            ring.Collect();
        }

        ring.Collect();
        page = ring.Buffers(slot).Writable.Value / PageBytes;
        Assert.True(IsMarked(map, 0, page));
        Assert.False(IsMarked(old, 0, page));
    }

    [Theory, MemberData(nameof(Cases))]
    public void I7_a_log_that_comes_while_no_ring_runs_is_kept_for_the_start(ulong features, bool logLast)
    {
        using var server = new TestServer(new EchoDevice());
        using var machine = new Machine(server.Connect(), features);
        using MemFd file = MemFd.Create("vhost-test-log", 4096);
        using TestRing ring = TestRing.Of(machine).Start();
        uint position = ring.Stop();
        if (!logLast)
        {
            SetLog(machine, file, 0);
        }

        Assert.True(machine.Frontend.Try(FrontendRequest.SetFeatures, features | VirtioFeatures.LogAll));
        if (logLast)
        {
            SetLog(machine, file, 0);
        }

        ring.Start(position);
        ring.Echo();
        Assert.True(IsAnyMarked(file));
    }

    [Fact]
    public void The_log_eventfd_is_signalled_while_pages_are_marked()
    {
        using var server = new TestServer(new EchoDevice());
        using var machine = new Machine(server.Connect());
        using MemFd file = MemFd.Create("vhost-test-log", 4096);
        using var signal = new EventFd();
        using TestRing ring = TestRing.Of(machine).Start();
        Assert.True(machine.Frontend.Try(FrontendRequest.SetLogFd, [], signal));
        SetLog(machine, file, 0);
        Assert.True(machine.Frontend.Try(FrontendRequest.SetFeatures, machine.Features | VirtioFeatures.LogAll));
        ring.Echo();
        Wait.Until(signal.Drain, "the log eventfd is signalled");
    }

    [Theory]
    [InlineData(0UL, 0UL)]
    [InlineData(LogBytes - 1, 0UL)]
    [InlineData(4097UL, 0UL)]
    [InlineData(4096UL, 1UL)]
    [InlineData(4096UL, ulong.MaxValue)]
    [InlineData(ulong.MaxValue, 0UL)]
    [InlineData(ulong.MaxValue, ulong.MaxValue)]
    [InlineData(1UL << 63, 1UL << 63)]
    public void M17_a_log_that_overflows_or_does_not_cover_the_memory_closes(ulong size, ulong offset)
    {
        // The reply has no form that says failure, and front-ends wait for all 16 bytes of it.
        using var server = new TestServer(new EchoDevice());
        foreach (bool needReply in (bool[])[false, true])
        {
            using var machine = new Machine(server.Connect());
            using MemFd file = MemFd.Create("vhost-test-log", 4096);
            machine.Frontend.Send(FrontendRequest.SetLogBase, new LogArea(size, offset), needReply, file);
            Assert.True(machine.Frontend.IsClosed());
            server.WaitForEnd();
        }
    }

    [Fact]
    public void M17_a_write_beyond_a_log_that_memory_outgrew_breaks_the_device()
    {
        using var server = new TestServer(new EchoDevice());
        using var machine = new Machine(server.Connect());
        using MemFd file = MemFd.Create("vhost-test-log", 4096);
        using TestRing ring = TestRing.Of(machine);
        SetLog(machine, file, 0, LogBytes);
        Assert.True(machine.Frontend.Try(FrontendRequest.SetFeatures, machine.Features | VirtioFeatures.LogAll));
        ring.Start(flags: VringAddressFlags.Log, log: 0x1_0000_0000); // the used ring's label lies beyond the log
        ring.Offer();
        Wait.Until(ring.Error.Drain, "the error eventfd is signalled");
    }

    private static void SetLog(Machine machine, MemFd file, ulong offset, ulong? size = null)
    {
        var area = new LogArea(size ?? 4096, offset);
        machine.Frontend.Send(FrontendRequest.SetLogBase, area, false, file);
        Reply reply = machine.Frontend.Receive()!;
        Assert.Equal(Frontend.Bytes(area), reply.Payload); // always answered, with the whole struct
    }

    private static unsafe bool IsMarked(Mapping map, int offset, ulong page) => (map.Address[offset + (int)(page / 8)] & (1 << (int)(page % 8))) != 0;

    private static bool IsAnyMarked(MemFd file)
    {
        using Mapping map = Mapping.OfFile(file, 0, 4096);
        return Enumerable.Range(0, 4096 * 8).Any(page => IsMarked(map, 0, (ulong)page));
    }
}
