using System.Diagnostics;
using Paravane.Hypervisor.Bare.Driver;
using Paravane.Hypervisor.Bench;
using Paravane.Hypervisor.Kvm;
using Paravane.Hypervisor.Tests.Kvm;
using Paravane.Hypervisor.Tests.Virtio;
using Paravane.VirtioQueues;
using Paravane.VirtioQueues.Memory;

namespace Paravane.Hypervisor.Tests.Bare;

/// <summary>A guest that is nothing but a virtio driver, on the host's KVM, with the real back-ends behind each transport.</summary>
[Trait("Needs", "KVM")]
public sealed class DriverGuestTests(ITestOutputHelper output)
{
    private const int Enough = 200;

    [Theory]
    [InlineData(DriverTransport.Pci, RingFormat.Split)]
    [InlineData(DriverTransport.Pci, RingFormat.Packed)]
    [InlineData(DriverTransport.Mmio, RingFormat.Split)]
    [InlineData(DriverTransport.Mmio, RingFormat.Packed)]
    internal void A_guest_writes_reads_and_compares_a_disk_without_an_exit(DriverTransport transport, RingFormat format)
    {
        using var rig = new DriverRig(transport, new DiskWork { Blocks = 256, Format = format, Seed = 7 }, net: null);
        Drive(rig, rig.Machine.Disk);
        Assert.Null(rig.Machine.FindMismatch(rig.Image!));
    }

    [Theory]
    [InlineData(DriverTransport.Pci, RingFormat.Split)]
    [InlineData(DriverTransport.Pci, RingFormat.Packed)]
    [InlineData(DriverTransport.Mmio, RingFormat.Split)]
    [InlineData(DriverTransport.Mmio, RingFormat.Packed)]
    internal void A_guest_gets_its_frames_back_in_order_without_an_exit(DriverTransport transport, RingFormat format)
    {
        using var rig = new DriverRig(transport, disk: null, new NetWork { Format = format, FrameBytes = 1514 });
        Drive(rig, rig.Machine.Net);
    }

    [Theory]
    [InlineData(DriverTransport.Pci)]
    [InlineData(DriverTransport.Mmio)]
    internal void A_guest_writes_reads_and_compares_a_disk_of_qemu_storage_daemon(DriverTransport transport)
    {
        using var rig = new DriverRig(transport, new DiskWork { Blocks = 256, Seed = 11 }, net: null, isForeign: true);
        Drive(rig, rig.Machine.Disk);
        Assert.Null(rig.Machine.FindMismatch(rig.Image!));
    }

    [Theory]
    [InlineData(DriverTransport.Pci, RingFormat.Split)]
    [InlineData(DriverTransport.Pci, RingFormat.Packed)]
    [InlineData(DriverTransport.Mmio, RingFormat.Packed)]
    internal void A_guest_gets_its_frames_back_from_the_vhost_port_of_testpmd(DriverTransport transport, RingFormat format)
    {
        using var rig = new DriverRig(transport, disk: null, new NetWork { Format = format, FrameBytes = 1514 }, isForeign: true);
        Drive(rig, rig.Machine.Net);
    }

    [Fact]
    internal void A_guest_drives_both_devices_at_once_through_many_laps_of_their_rings()
    {
        const int ManyLaps = 5000;
        using var rig = new DriverRig(DriverTransport.Pci, new DiskWork { Format = RingFormat.Packed, Blocks = 64 }, new NetWork { FrameBytes = 61 });
        rig.Start();
        rig.Until(() => rig.Machine.Disk.Done > ManyLaps && rig.Machine.Net.Done > ManyLaps);
        rig.Finish();
        Assert.Equal((0L, 0L), (rig.Machine.Disk.Errors, rig.Machine.Net.Errors));
        Assert.Equal(rig.Machine.Net.Sent, rig.Machine.Net.Verified);
        Assert.Null(rig.Machine.FindMismatch(rig.Image!));
    }

    [Fact]
    internal void A_block_that_changed_behind_its_back_is_found_by_the_guest_and_by_the_comparison_of_the_image()
    {
        using var rig = new DriverRig(DriverTransport.Pci, new DiskWork { Blocks = 64, ReadPercent = 90 }, net: null);
        rig.Start();
        rig.Until(() => rig.Machine.Disk.Verified > Enough);
        Assert.Equal(0, rig.Machine.Disk.Errors);
        for (int block = 0; block < 64; block++)
        {
            RandomAccess.Write(rig.Image!, [0xEE], (block * DiskWork.BlockBytes) + 1234);
        }

        rig.Until(() => rig.Machine.Disk.Errors > 0);
        rig.Finish();
        Assert.Contains("what came back is not what was sent", rig.Machine.Disk.FirstError, StringComparison.Ordinal);
        for (int block = 0; block < 64; block++)
        {
            RandomAccess.Write(rig.Image!, [0x11], (block * DiskWork.BlockBytes) + 4095);
        }

        Assert.Matches("^the image differs from what was written to block [0-9]+, from byte [0-9]+ of the file on$", rig.Machine.FindMismatch(rig.Image!));
    }

    [Fact]
    internal void A_byte_that_changed_in_a_frame_is_found_by_the_guest()
    {
        using var rig = new DriverRig(DriverTransport.Pci, disk: null, new NetWork());
        rig.Start();
        rig.Until(() => rig.Machine.Net.Verified > Enough);
        Assert.Equal(0, rig.Machine.Net.Errors);
        ulong frame = 0;
        rig.Until(() =>
        {
            // As a device would that has a bad bit.
            frame = (frame + 1) % NetWork.Slots;
            rig.Machine.Memory.TryWrite(new GuestAddress(DriverLayout.Transmit + (frame << DriverLayout.FrameShift) + 700), [(byte)frame]);
            return rig.Machine.Net.Errors > 0;
        });
        Assert.Contains("what came back is not what was sent", rig.Machine.Net.FirstError, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(DriverTransport.Pci)]
    [InlineData(DriverTransport.Mmio)]
    internal void A_device_that_is_not_there_makes_the_guest_give_up_and_say_why(DriverTransport transport)
    {
        using var system = BareGuest.OpenKvm();
        using var vm = KvmVm.Create(system);
        using var machine = new DriverMachine(vm, transport, new DiskWork(), net: null);
        machine.Prepare();
        machine.Start();
        Assert.True(machine.Wait(Wait.Limit));
        machine.Refresh();
        Assert.Equal(DriverState.Failed, machine.State);
        Assert.Equal("the guest's driver gave up on the disk: it is not on the bus", machine.DescribeFault());
    }

    private void Drive(DriverRig rig, LoadCounters counters)
    {
        long started = Stopwatch.GetTimestamp();
        long exits = rig.Start();
        TimeSpan setUp = Stopwatch.GetElapsedTime(started);
        rig.Until(() => counters.Verified >= Enough);
        Assert.Equal(exits, rig.Machine.Exits); // not one exit since then
        rig.Finish();
        output.WriteLine(
            $"{setUp.TotalMilliseconds:F1} ms until it ran, {Stopwatch.GetElapsedTime(started).TotalMilliseconds:F1} ms in all; {exits} exits to set up; "
            + $"{counters.Done} done, {counters.Verified} verified, p50 {counters.Latency.Microseconds(0.5):F1} µs");
        Assert.Equal(0, counters.Errors);
        Assert.Null(counters.FirstError);
        Assert.Equal(counters.Sent, counters.Done);
        Assert.Equal(counters.Done, counters.Latency.Count);
        Assert.InRange(counters.Verified, Enough, counters.Done);
    }
}
