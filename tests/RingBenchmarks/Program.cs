using BenchmarkDotNet.Running;
using Paravane.RingBenchmarks;

// «pair» runs two threads, a generator against a device; anything else goes to BenchmarkDotNet, which measures single verbs on one thread.
if (args is ["pair", ..])
{
    return PairCommand.Run(args.AsSpan(1));
}

BenchmarkSwitcher.FromAssembly(typeof(PairCommand).Assembly).Run(args);
return 0;
