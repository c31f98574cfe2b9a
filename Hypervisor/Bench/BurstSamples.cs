using System.Diagnostics;

namespace Paravane.Hypervisor.Bench;

/// <summary>Round-trip times, one sample a burst: the number of frames sent with it and before it, and when it was sent.</summary>
/// <remarks>Load thread only. Frames come back in the order in which they were sent, so counting them tells when a sampled one is back.</remarks>
internal sealed class BurstSamples
{
    private const int Slots = 1024;

    private readonly long[] _number = new long[Slots];
    private readonly long[] _time = new long[Slots];
    private uint _head;
    private uint _tail;

    /// <summary>A burst was sent, the last frame of which is number <paramref name="sent"/>. With too many under way it is not sampled.</summary>
    public void Sent(long sent)
    {
        if (_tail - _head < Slots)
        {
            _number[_tail % Slots] = sent;
            _time[_tail % Slots] = Stopwatch.GetTimestamp();
            _tail++;
        }
    }

    /// <summary>As many frames have come back since the start.</summary>
    public void Arrived(long returned, LatencyHistogram latency)
    {
        long now = 0;
        while (_head != _tail && _number[_head % Slots] < returned)
        {
            now = now == 0 ? Stopwatch.GetTimestamp() : now;
            latency.Record(now - _time[_head % Slots]);
            _head++;
        }
    }

    /// <summary>What is under way counts as lost.</summary>
    public void Forget() => _head = _tail;
}
