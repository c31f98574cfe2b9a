using Paravane.Hypervisor.Memory;
using Paravane.Hypervisor.Pci;
using Paravane.Hypervisor.Tests.Pci;
using Paravane.Hypervisor.Virtio;

namespace Paravane.Hypervisor.Tests.Virtio;

/// <summary>A guest that does anything with registers. The fakes check every order: what runs is not started, what is not taken is not given back.</summary>
public sealed class RegisterFuzzTests
{
    private const int Steps = 30_000;

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    public void H5_any_access_to_a_pci_device_has_no_effect_or_the_right_one(int seed)
    {
        using var rig = new VirtioPciRig(new FakeFunction(queues: 5));
        var random = new Random(seed);
        for (int step = 0; step < Steps; step++)
        {
            Step(rig, random);
            Settle(rig.Function, random);
            Check(rig);
        }

        Finish(rig.Function);
        foreach (string order in new[] { "start", "stop", "start 1", "stop 1", "call 1" })
        {
            Assert.True(rig.Function.Orders.Count(order.Equals) >= 5, $"«{order}» is rare");
        }

        // Whatever was done, the device can be brought to life again.
        rig.SetEcam(rig.Slot, PciConfig.Command, 0, 2);
        rig.Bar = AddressMap.Pci64 + 0x100_0000;
        rig.SetEcam(rig.Slot, PciConfig.Bar0, rig.Bar, 8);
        rig.SetEcam(rig.Slot, PciConfig.Command, PciConfig.CommandMemory, 2);
        rig.EnableMsiX(false);
        rig.Status = 0;
        Finish(rig.Function);
        int before = rig.Interrupts.Raised(VirtioPciRig.Message(2));
        rig.Start();
        rig.Function.Call(1);
        Assert.True(rig.Interrupts.Raised(VirtioPciRig.Message(2)) > before);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void H5_any_access_to_an_mmio_device_has_no_effect_or_the_right_one(int seed)
    {
        using var rig = new VirtioMmioRig(new FakeFunction(queues: 5) { StopsBySelf = true });
        var random = new Random(seed);
        byte[] data = new byte[8];
        for (int step = 0; step < Steps; step++)
        {
            ulong offset = (ulong)random.Next(random.Next(2) == 0 ? 0x110 : 0x1000 - 8);
            int lengthBytes = random.Next(1, 9);
            if (random.Next(3) > 0)
            {
                offset &= ~3UL;
                lengthBytes = 4;
            }

            Fill(random, data);
            switch (random.Next(8))
            {
                case 0:
                    rig.Mmio.Read(offset, data.AsSpan(0, lengthBytes));
                    break;
                case 1 when step % 20 == 0:
                    rig[0x70] = 0;
                    break;
                case 2:
                    rig[0x24] = 1;
                    rig[0x20] = 1;
                    rig[0x24] = 0;
                    rig[0x20] = 0;
                    rig[0x70] = 11;
                    break;
                case 3:
                    rig[0x70] = 15;
                    break;
                case 4:
                    rig[0x30] = (uint)random.Next(6);
                    rig[0x44] = (uint)random.Next(2);
                    break;
                case 5:
                    Raise(rig.Function, random);
                    break;
                default:
                    rig.Mmio.Write(offset, data.AsSpan(0, lengthBytes));
                    break;
            }

            Assert.Equal(rig.Function.Running.Count, rig.Doorbells.Count);
        }

        foreach (string order in new[] { "start", "stop", "start 1", "stop 1" })
        {
            Assert.True(rig.Function.Orders.Count(order.Equals) >= 5, $"«{order}» is rare");
        }

        rig[0x70] = 0;
        Assert.Equal(0u, rig[0x70]);
        rig.Start();
        Assert.Equal(5, rig.Function.Running.Count);
    }

    [Fact]
    public void H5_vcpus_that_reach_for_the_same_device_at_once_do_it_no_harm()
    {
        using var rig = new VirtioPciRig(new FakeFunction(queues: 3) { StopsBySelf = true });
        rig.Interrupts.Run();
        bool stop = false;
        Exception? failure = null;
        Thread[] threads =
        [
            .. Enumerable.Range(0, 3).Select(seed => new Thread(() =>
            {
                var random = new Random(seed);
                try
                {
                    while (!Volatile.Read(ref stop))
                    {
                        Step(rig, random);
                        if (random.Next(50) == 0)
                        {
                            Raise(rig.Function, random);
                        }
                    }
                }
                catch (Exception error)
                {
                    failure = error;
                }
            })),
        ];
        foreach (Thread thread in threads)
        {
            thread.Start();
        }

        for (int i = 0; i < 10; i++)
        {
            Thread.Sleep(50);
            rig.Bus.Reset(() => { });
        }

        Volatile.Write(ref stop, true);
        Assert.All(threads, thread => Assert.True(thread.Join(TimeSpan.FromSeconds(10))));
        Assert.Null(failure);
    }

    [Fact]
    public void H5_devices_come_and_go_while_vcpus_look_at_the_bus()
    {
        using var rig = new PciRig();
        using var forwarder = new InterruptForwarder();
        var doorbells = new FakeDoorbells();
        bool stop = false;
        Exception? failure = null;
        var guest = new Thread(() =>
        {
            var random = new Random(9);
            byte[] data = new byte[8];
            try
            {
                while (!Volatile.Read(ref stop))
                {
                    int slot = random.Next(1, 4);
                    rig.Decode(slot, true);
                    ulong bar = rig.Bar64(slot);
                    rig.SetMemory(bar + (ulong)random.Next(0x6000), (ulong)random.NextInt64(), random.Next(1, 9));
                    rig.Windows.Read(bar + (ulong)random.Next(0x6000), data.AsSpan(0, random.Next(1, 9)));
                    rig.SetMemory(bar + 20, 15, 1);
                }
            }
            catch (Exception error)
            {
                failure = error;
            }
        });
        guest.Start();
        for (int i = 0; i < 300; i++)
        {
            var functions = new[] { new FakeFunction { StopsBySelf = true }, new FakeFunction { StopsBySelf = true } };
            using var removed = new CountdownEvent(functions.Length);
            void OnRemoved(int slot, PciFunction function) => removed.Signal();
            rig.Bus.Removed += OnRemoved;
            int[] slots = [.. functions.Select(Add)];
            Thread.SpinWait(5000);
            Assert.All(slots, slot => Assert.True(rig.Bus.Remove(slot)));
            Assert.True(removed.Wait(TimeSpan.FromSeconds(10), TestContext.Current.CancellationToken));
            rig.Bus.Removed -= OnRemoved;
            Assert.Equal(0, rig.Windows.Count);
            foreach (FakeFunction function in functions)
            {
                function.Dispose();
            }
        }

        Volatile.Write(ref stop, true);
        Assert.True(guest.Join(TimeSpan.FromSeconds(10)));
        Assert.Null(failure);
        Assert.Equal(0, doorbells.Count);
        Assert.Equal(0, rig.Interrupts.GsisTaken);

        int Add(FakeFunction function)
        {
            Assert.True(rig.Bus.TryAdd(new VirtioPci("test", function, rig.Interrupts, doorbells, forwarder), out int slot));
            return slot;
        }
    }

    [Fact]
    public void Register_accesses_of_a_running_device_allocate_nothing()
    {
        using var rig = new VirtioPciRig();
        rig.Start();
        byte[] data = new byte[8];
        VirtioPci bar = rig.Pci;
        long before = 0;
        for (int i = 0; i < 2000; i++)
        {
            if (i == 100)
            {
                before = GC.GetAllocatedBytesForCurrentThread();
            }

            bar.Read(20, data.AsSpan(0, 1));
            bar.Read(0x1000, data.AsSpan(0, 1));
            bar.Read(0x2000, data);
            bar.Write(0x3000, data.AsSpan(0, 2));
            bar.Read(0x5000, data);
            rig.Bus.Ecam.Read(((ulong)rig.Slot << 15) | PciConfig.Status, data.AsSpan(0, 2));
            rig.Bus.Ports.Read(4, data.AsSpan(0, 4));
        }

        Assert.Equal(before, GC.GetAllocatedBytesForCurrentThread());
    }

    private static void Step(VirtioPciRig rig, Random random)
    {
        Span<byte> data = stackalloc byte[8];
        Fill(random, data);
        int lengthBytes = random.Next(1, 9);
        switch (random.Next(16))
        {
            case 0:
                rig.Bus.Ecam.Read((ulong)random.Next(0x10_0000 - 8), data[..lengthBytes]);
                break;
            case 1:
                rig.Bus.Ecam.Write(((ulong)rig.Slot << 15) + (ulong)random.Next(0x100), data[..lengthBytes]);
                break;
            case 2:
                int port = random.Next(8);
                rig.Bus.Ports.Write((ulong)port, data[..Math.Min(lengthBytes, 8 - port)]);
                rig.Bus.Ports.Read((ulong)port, data[..Math.Min(lengthBytes, 8 - port)]);
                break;
            case 3:
                rig.SetPort(0xCF8, 0x8000_0000 | ((uint)rig.Slot << 11) | (uint)random.Next(0x100), 4);
                rig.SetPort(0xCFC + random.Next(4), (ulong)random.Next(), 1);
                break;
            case 4 or 5 or 6: // somewhere in the BAR, wherever it is
                rig.Pci.Write((ulong)random.Next(0x8000 - 8), data[..lengthBytes]);
                break;
            case 7:
                rig.Pci.Read((ulong)random.Next(0x8000 - 8), data[..lengthBytes]);
                break;
            case 8: // the common registers in their own width
                int register = random.Next(0, 15);
                int[] offsets = [0, 8, 12, 16, 20, 22, 24, 26, 28, 32, 40, 44, 48, 58, 36];
                int[] widths = [4, 4, 4, 2, 1, 2, 2, 2, 2, 8, 4, 4, 8, 2, 4];
                rig.Pci.Write((ulong)offsets[register], data[..widths[register]]);
                break;
            case 9: // negotiate
                rig.Pci.Write(8, [1, 0, 0, 0]);
                rig.Pci.Write(12, [1, 1, 0, 0]);
                rig.Pci.Write(8, [0, 0, 0, 0]);
                rig.Pci.Write(12, [1, 0, 0, 0]);
                rig.Pci.Write(20, [11]);
                break;
            case 10:
                rig.Pci.Write(20, [(byte)(random.Next(20) == 0 ? 0 : 15)]);
                break;
            case 11: // enable, or reset, a queue
                rig.Pci.Write(22, [(byte)random.Next(6), 0]);
                rig.Pci.Write(26, [(byte)random.Next(8), 0]);
                rig.Pci.Write(random.Next(4) == 0 ? 58u : 28u, [1, 0]);
                break;
            case 12: // MSI-X table and control
                rig.Pci.Write(0x4000 + ((ulong)random.Next(32) * 4), data[..4]);
                rig.SetEcam(rig.Slot, 0x42, (uint)random.Next(4) << 14, 2);
                break;
            case 13: // BAR and command
                rig.SetEcam(rig.Slot, PciConfig.Bar0, (random.Next(2) == 0 ? AddressMap.Pci64 : AddressMap.Pci32) + ((ulong)random.Next(64) * 0x8000), 8);
                rig.SetEcam(rig.Slot, PciConfig.Command, (uint)random.Next(0x800), 2);
                break;
            case 14:
                rig.SetMemory(rig.Bar64(rig.Slot) + (ulong)random.Next(0x6000), (ulong)random.NextInt64(), lengthBytes);
                break;
            default: // used buffers
                rig.Function.Call(random.Next(rig.Function.QueueCount));
                break;
        }
    }

    /// <summary>Bytes that are often small, since most registers are interesting near zero.</summary>
    private static void Fill(Random random, Span<byte> data)
    {
        random.NextBytes(data);
        if (random.Next(2) == 0)
        {
            data.Clear();
            data[0] = (byte)random.Next(8);
        }
    }

    private static void Raise(FakeFunction function, Random random)
    {
        if (random.Next(4) == 0)
        {
            function.Break();
        }
        else
        {
            function.ChangeConfig();
        }
    }

    private static void Settle(FakeFunction function, Random random)
    {
        if (random.Next(10) == 0)
        {
            Raise(function, random);
        }

        if (random.Next(5) == 0 && function.HasStopsDue)
        {
            function.Complete();
        }
    }

    private static void Finish(FakeFunction function)
    {
        while (function.HasStopsDue)
        {
            function.Complete();
        }
    }

    private static void Check(VirtioPciRig rig)
    {
        bool decoded = (rig.Ecam(rig.Slot, PciConfig.Command, 2) & PciConfig.CommandMemory) != 0;
        Assert.Equal(decoded ? 1 : 0, rig.Windows.Count);
        Assert.Equal(decoded ? rig.Function.Running.Count : 0, rig.Doorbells.Count);
        Assert.InRange(rig.Interrupts.GsisTaken, 0, rig.Function.QueueCount + 1);
        Assert.InRange(rig.Interrupts.AttachedCount, 0, rig.Interrupts.GsisTaken);
        Assert.Equal(rig.Function.IsRunning, (rig.StatusAnywhere() & VirtioPciRig.DriverOk) != 0 && !rig.Function.IsStopping);
    }
}
