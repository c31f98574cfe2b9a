using System.Diagnostics;
using Paravane.Hypervisor.Bench;

namespace Paravane.Hypervisor.Bare.Driver;

/// <summary>Writes what counts: subroutines for latencies and errors, and single counters of one device.</summary>
internal sealed class CounterCode
{
    /// <summary>Ticks of the guest's counter become those of <see cref="Stopwatch"/> by a product and a shift; exact for some hours.</summary>
    private const int ScaleShift = 20;

    private readonly CodeWriter _code;
    private readonly DriverDevice _device;
    private readonly Label _latency, _error;

    /// <summary>Writes the subroutines.</summary>
    public CounterCode(CodeWriter code, DriverDevice device, int tscKilohertz)
    {
        _code = code;
        _device = device;
        _latency = WriteLatency(tscKilohertz);
        _error = WriteError();
    }

    /// <summary>A counter of the device, one of the offsets of <see cref="DriverLayout"/>.</summary>
    public MemoryOperand this[int counter] => new(Register.R15, DriverLayout.CountersOf(_device) + counter);

    /// <summary>The time in guest ticks, to RAX. Uses RDX.</summary>
    public void Now()
    {
        _code.Rdtsc();
        _code.Shl(Register.Rdx, 32);
        _code.Or(Register.Rax, Register.Rdx);
    }

    /// <summary>Records the time since RSI. Uses RAX, RCX, RDX.</summary>
    public void Latency() => _code.Call(_latency);

    /// <summary>Counts something done with <paramref name="bytes"/> of payload. Uses RAX.</summary>
    public void CountDone(int bytes)
    {
        _code.Load(Register.Rax, this[DriverLayout.Bytes], Width.Qword);
        _code.Add(Register.Rax, bytes);
        _code.Store(this[DriverLayout.Bytes], Register.Rax, Width.Qword);
        _code.Inc(this[DriverLayout.Done]);
    }

    /// <summary>Counts an error and keeps the first: where is in RDX, what was found in R10, what was wanted in RCX. Uses RAX.</summary>
    public void Error(DriverFault kind)
    {
        _code.Mov(Register.Rax, (int)kind);
        _code.Call(_error);
    }

    /// <summary>As <see cref="LatencyHistogram"/> does it.</summary>
    private Label WriteLatency(int tscKilohertz)
    {
        Label start = _code.Here(), forward = _code.NewLabel(), small = _code.NewLabel(), inside = _code.NewLabel();
        Now();
        _code.Sub(Register.Rax, Register.Rsi);
        _code.J(Condition.AboveOrEqual, forward);
        _code.Mov(Register.Rax, 0);
        _code.Bind(forward);
        _code.Mov(Register.Rcx, (ulong)((double)Stopwatch.Frequency * (1 << ScaleShift) / (tscKilohertz * 1000.0)));
        _code.Imul(Register.Rax, Register.Rcx);
        _code.Shr(Register.Rax, ScaleShift);
        _code.Cmp(Register.Rax, 1 << LatencyHistogram.LinearBits);
        _code.J(Condition.Below, small);
        _code.Bsr(Register.Rcx, Register.Rax);
        _code.Sub(Register.Rcx, LatencyHistogram.LinearBits);
        _code.ShrCl(Register.Rax);
        _code.Shl(Register.Rcx, LatencyHistogram.LinearBits);
        _code.Add(Register.Rax, Register.Rcx);
        _code.Bind(small);
        _code.Cmp(Register.Rax, LatencyHistogram.BucketCount - 1);
        _code.J(Condition.BelowOrEqual, inside);
        _code.Mov(Register.Rax, LatencyHistogram.BucketCount - 1);
        _code.Bind(inside);
        _code.Inc(new MemoryOperand(Register.R15, Register.Rax, 8, DriverLayout.HistogramOf(_device)));
        _code.Ret();
        return start;
    }

    private Label WriteError()
    {
        Label start = _code.Here(), known = _code.NewLabel();
        _code.Push(Register.Rax);
        _code.Load(Register.Rax, this[DriverLayout.FirstKind], Width.Qword);
        _code.Test(Register.Rax, Register.Rax);
        _code.Pop(Register.Rax);
        _code.J(Condition.NotEqual, known);
        _code.Store(this[DriverLayout.FirstPlace], Register.Rdx, Width.Qword);
        _code.Store(this[DriverLayout.FirstFound], Register.R10, Width.Qword);
        _code.Store(this[DriverLayout.FirstWanted], Register.Rcx, Width.Qword);
        _code.Store(this[DriverLayout.FirstKind], Register.Rax, Width.Qword);
        _code.Bind(known);
        _code.Inc(this[DriverLayout.Errors]);
        _code.Ret();
        return start;
    }
}
