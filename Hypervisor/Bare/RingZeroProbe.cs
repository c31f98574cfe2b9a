using System.Diagnostics;
using Paravane.Hypervisor.Boot;
using Paravane.Hypervisor.Kvm;
using Paravane.Hypervisor.Memory;
using Paravane.VirtioQueues.Memory;

namespace Paravane.Hypervisor.Bare;

/// <summary>Measures whether this host's KVM runs a guest's kernel on the processor or emulates it instruction by instruction.</summary>
/// <remarks>
/// Where KVM has no hardware to rely on it may still run ring 3 at full speed and interpret ring 0, at some microseconds for each instruction. Bare
/// guests are fine there; a stock kernel would take an hour to boot. It takes some milliseconds to find out.
/// </remarks>
internal sealed class RingZeroProbe : IBusDevice, IDisposable
{
    /// <summary>Ring 0 is emulated when an instruction takes longer: a processor is a hundred times faster, an emulator several times slower.</summary>
    private const double EmulatedNanoseconds = 100;

    /// <summary>The best of them counts: the host may take the processor away in the midst of one.</summary>
    private const int Rounds = 3;

    /// <summary>Enough that the exit which marks a round's end hardly counts.</summary>
    private const int TurnsPerRound = 2000, InstructionsPerTurn = 2;
    private const byte MarkPort = 0xF4;
    private static readonly TimeSpan s_limit = TimeSpan.FromSeconds(10);

    private readonly long[] _marks = new long[Rounds + 1];
    private readonly ManualResetEventSlim _done = new();
    private int _count;

    private RingZeroProbe()
    {
    }

    /// <summary>What a measured time means.</summary>
    /// <param name="nanoseconds">From <see cref="MeasureNanoseconds"/>.</param>
    public static bool MeansEmulated(double nanoseconds) => nanoseconds > EmulatedNanoseconds;

    /// <summary>Time of one instruction at ring 0 in nanoseconds.</summary>
    /// <exception cref="IOException">KVM cannot run the guest.</exception>
    public static double MeasureNanoseconds(KvmSystem system)
    {
        using KvmVm vm = KvmVm.Create(system);
        using var ram = MachineMemory.Create(MachineMemory.Granule);
        vm.AddMemory(ram.Banks[0]);
        using var probe = new RingZeroProbe();
        var ports = new AddressBus();
        ports.Add(MarkPort, 1, probe, "probe");
        VmStop? stop = null;
        using var vcpus = VcpuGroup.Create(vm, ram, 1, ports, new AddressBus(), end =>
        {
            stop = end;
            probe._done.Set();
        });
        if (!ram.Table.TryWrite(new GuestAddress(AddressMap.HighMemory), Code()))
        {
            throw new IOException($"there is no guest memory at 0x{AddressMap.HighMemory:x}");
        }

        vcpus.Start(new BootState(BootMode.Long, AddressMap.HighMemory, Parameter: 0));
        bool ended = probe._done.Wait(s_limit);
        vcpus.Pause();
        return ended && stop is null ? probe.Best() : throw new KvmException($"KVM does not run a guest of {Rounds} loops: {stop?.Reason ?? "it never ends"}");
    }

    /// <inheritdoc/>
    void IBusDevice.Read(ulong offset, Span<byte> data) => data.Fill(0xFF);

    /// <inheritdoc/>
    void IBusDevice.Write(ulong offset, ReadOnlySpan<byte> data)
    {
        if (_count < _marks.Length)
        {
            _marks[_count++] = Stopwatch.GetTimestamp();
        }

        if (_count == _marks.Length)
        {
            _done.Set();
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _done.Dispose();

    /// <summary>A mark, then rounds that each end with one; then sleep.</summary>
    private static byte[] Code()
    {
        var code = new CodeWriter();
        code.Out(MarkPort, Width.Byte);
        for (int i = 0; i < Rounds; i++)
        {
            code.Mov(Register.Rcx, TurnsPerRound);
            Label turn = code.Here();
            code.Sub(Register.Rcx, 1);
            code.J(Condition.NotEqual, turn);
            code.Out(MarkPort, Width.Byte);
        }

        Label end = code.Here();
        code.Hlt();
        code.Jmp(end);
        return code.Finish();
    }

    private double Best()
    {
        double best = double.MaxValue;
        for (int i = 0; i < Rounds; i++)
        {
            best = Math.Min(best, Stopwatch.GetElapsedTime(_marks[i], _marks[i + 1]).TotalNanoseconds);
        }

        return best / (TurnsPerRound * InstructionsPerTurn);
    }
}
